"""One target under atheris, in a process of its own; see ``engines.py``.

``python -m tests.fuzz.child TARGET FOLDER SECONDS``: in the folder, the corpus grows
under ``corpus``, failures with their reports are written to ``found``, and libFuzzer
leaves under ``left`` what took too long.
"""

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["mta"]):
    from tests.fuzz.engines import MAX_INPUT, SEEDS, TOO_SLOW_S, Watch, keep
    from tests.fuzz.words import WORDS

MAX_MEMORY_MB = 2048


def main() -> None:
    name, temporary, seconds = sys.argv[1:]
    place = Path(temporary)
    watch = Watch.over(name)

    def call(data: bytes) -> None:
        before = len(watch.found)
        watch(data)
        for found, report in list(watch.found.items())[before:]:
            keep(place / "found", found).with_suffix(".txt").write_text(report)

    words = ["".join(f"\\x{octet:02x}" for octet in word) for word in WORDS]
    (place / "words").write_text("".join(f'"{word}"\n' for word in words))
    options = [
        f"-max_total_time={seconds}",
        f"-max_len={MAX_INPUT}",
        "-len_control=10",  # grow soon
        f"-timeout={TOO_SLOW_S}",
        f"-rss_limit_mb={MAX_MEMORY_MB}",
        f"-artifact_prefix={place / 'left'}/",
        f"-dict={place / 'words'}",
    ]
    folders = [place / "corpus", *filter(Path.is_dir, [SEEDS / name])]
    atheris.Setup([sys.argv[0], *options, *map(str, folders)], call)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
