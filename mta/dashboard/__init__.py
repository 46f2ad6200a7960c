"""The web dashboard: pages for people, without scripts."""
