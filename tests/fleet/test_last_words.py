"""What a process has printed last, as its supervisor keeps it."""

from borough.fleet.last_words import LastWords, in_a_sentence


def test_the_last_dozen_lines_are_kept_and_empty_ones_are_none() -> None:
    words = LastWords()
    for number in range(20):
        words.add(f"line {number}")
        words.add("  ")
    assert words.told() == tuple(f"line {number}" for number in range(8, 20))


def test_secrets_in_them_are_hidden() -> None:
    words = LastWords()
    words.add("could not log in: password=hunter2-and-more")
    assert words.told() == ("could not log in: password=***",)


def test_a_long_line_is_cut_after_what_is_secret_in_it_was_hidden() -> None:
    words = LastWords()
    words.add(f"{'x' * 380} token={'y' * 5000}")
    (line,) = words.told()
    assert "y" not in line
    words.add("z" * 5000)
    assert words.told()[-1] == f"{'z' * 400}…"


def test_within_a_sentence_they_are_short_and_plain_and_hide_secrets() -> None:
    said = in_a_sentence("\x1b]0;owned\x07 token=abcdefgh " + "x" * 5000)
    assert said.startswith(
        "\N{REPLACEMENT CHARACTER}]0;owned\N{REPLACEMENT CHARACTER} token=*** xxx"
    )
    assert len(said) == 201
