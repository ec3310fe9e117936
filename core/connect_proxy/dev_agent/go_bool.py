"""The words that Go's ``strconv.ParseBool`` takes, and nothing else."""

from typing import Final

TRUE_WORDS: Final = frozenset({"1", "t", "T", "TRUE", "true", "True"})
FALSE_WORDS: Final = frozenset({"0", "f", "F", "FALSE", "false", "False"})
