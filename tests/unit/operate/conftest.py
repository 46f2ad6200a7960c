import pytest

from tests.unit.operate.fakes import Rig


@pytest.fixture
def rig():
    """An explanation, and what it stands on."""
    return Rig()
