"""Where a value comes from, which one wins, and what is said of a value that cannot be."""

from __future__ import annotations

import copy
import json
import os
import pickle
import re
from pathlib import Path

import msgspec
import pytest

from borough import Secret, Settings
from borough.errors import ConfigurationError
from borough.runtime.configuration import (
    OWN_VARIABLES,
    Configuration,
    option_defaults,
    variable_of,
)


class MailSettings(Settings):
    host: str = "localhost"
    retries: int = 3
    copies: tuple[str, ...] = ()


class KeySettings(Settings):
    key: Secret
    spare: Secret | None = None


def loaded(
    folder: Path,
    toml: str = "",
    environment: dict[str, str] | None = None,
    flags: dict[str, object] | None = None,
) -> Configuration:
    (folder / "borough.toml").write_text(toml, encoding="utf-8")
    return Configuration.load(folder, environment or {}, flags)


def explained(configuration: Configuration, option: str) -> tuple[str, str]:
    return next((v, source) for name, v, source in configuration.explain() if name == option)


PORT = "[edge]\nport = 1001\n"
ENVIRONMENT = {"BOROUGH_EDGE_PORT": "1002"}


def test_flags_win_over_the_environment_over_the_file_over_defaults(tmp_path: Path) -> None:
    flags: dict[str, object] = {"edge.port": 1003}
    steps = [
        (loaded(tmp_path), 8080, "default"),
        (loaded(tmp_path, PORT), 1001, "borough.toml"),
        (loaded(tmp_path, PORT, ENVIRONMENT), 1002, "BOROUGH_EDGE_PORT"),
        (loaded(tmp_path, PORT, ENVIRONMENT, flags), 1003, "flag"),
        (loaded(tmp_path, PORT, ENVIRONMENT, {"edge.port": None}), 1002, "BOROUGH_EDGE_PORT"),
    ]
    for configuration, port, source in steps:
        assert configuration.options.edge.port == port
        assert explained(configuration, "edge.port") == (str(port), source)


def test_settings_of_a_service_come_from_the_same_places_in_the_same_order(tmp_path: Path) -> None:
    toml = '[services.mail.settings]\nhost = "toml"\n'
    environment = {"BOROUGH_MAIL_HOST": "environment"}
    flags: dict[str, object] = {"services.mail.settings.host": "flag"}
    found = [
        (loaded(tmp_path), "localhost", "default"),
        (loaded(tmp_path, toml), "toml", "borough.toml"),
        (loaded(tmp_path, toml, environment), "environment", "BOROUGH_MAIL_HOST"),
        (loaded(tmp_path, toml, environment, flags), "flag", "flag"),
    ]
    for configuration, host, source in found:
        assert configuration.settings("mail", MailSettings).host == host
        assert explained(configuration, "services.mail.settings.host") == (host, source)


def test_every_option_has_its_own_variable() -> None:
    variables = [variable_of(name) for name in option_defaults()]
    assert len(set(variables)) == len(variables)
    assert "BOROUGH_EDGE_TOKENS_ISSUER" in variables


def test_a_text_becomes_the_type_that_is_wanted(tmp_path: Path) -> None:
    environment = {
        "BOROUGH_EDGE_CORS": "https://a.example, https://b.example",
        "BOROUGH_CONSOLE_SERVE": "false",
        "BOROUGH_LIMITS_DRAIN_S": "2.5",
        "BOROUGH_MAIL_RETRIES": "7",
        "BOROUGH_MAIL_COPIES": "ann,bob",
    }
    configuration = loaded(tmp_path, environment=environment)
    assert configuration.options.edge.cors == ("https://a.example", "https://b.example")
    assert configuration.options.console.serve is False
    assert configuration.options.limits.drain_s == 2.5
    settings = configuration.settings("mail", MailSettings)
    assert (settings.retries, settings.copies) == (7, ("ann", "bob"))


def test_a_service_with_a_hyphen_has_a_variable_with_an_underscore(tmp_path: Path) -> None:
    configuration = loaded(tmp_path, environment={"BOROUGH_OUT_BOX_HOST": "there"})
    assert configuration.settings("out-box", MailSettings).host == "there"


@pytest.mark.parametrize(
    ("toml", "environment", "flags", "expected"),
    [
        ("[edg]\nport = 1", {}, {}, "edg is no option; did you mean edge?"),
        ("[edge]\nprot = 1", {}, {}, "edge.prot is no option; did you mean port?"),
        ("[edge]\nport = 70000", {}, {}, "edge.port: expected `int` <= 65535"),
        ("[limits]\nthreads = 0", {}, {}, "limits.threads: expected `int` >= 1"),
        ("[limits]\ndrain_s = 0", {}, {}, "limits.drain_s: expected `float` > 0"),
        ("[edge]\nport = true", {}, {}, "edge.port: expected `int`, got `bool`"),
        ("edge = 5", {}, {}, "edge: expected `object`, got `int`"),
        ("", {"BOROUGH_EDGE_PORT": "x"}, {}, "BOROUGH_EDGE_PORT: edge.port: expected `int`"),
        ("", {}, {"edge.port": "x"}, "flag: edge.port: expected `int`"),
        ("", {}, {"edge.prot": "1"}, "edge.prot is no option; did you mean port?"),
        ("", {}, {"edge.port.x": "1"}, "edge.port: expected `int`, got `object`"),
        ("[edge]\nport = 1", {}, {"edge.port.x": "1"}, "edge.port.x is no option: port is a value"),
        ("", {}, {"": "1"}, " is no option"),
        ("", {}, {"edge": "1"}, "edge: expected `object`, got `str`"),
        (
            "[edge.limits]\nbody_bytes = 100_000_000",
            {},
            {},
            "edge.limits: body_bytes (100000000) is above held_bytes (67108864)",
        ),
        ("[teams]\nfront = 3", {}, {}, "teams.front: expected `object`, got `int`"),
        (
            "[services.a]\ncapability = 'x'\n[services.till]\ncapability = 3",
            {},
            {},
            "services.till.capability: expected `str`, got `int`. Mend",
        ),
        ("[teams.a]\nsize = 2\n[teams.b]\nsize = 'x'", {}, {}, "teams.b.size: expected `int`"),
        (
            "[topologies.two.a]\nreplicas = 2\n[topologies.two.b]\nreplicas = 'x'",
            {},
            {},
            "topologies.two.b.replicas: expected `int`",
        ),
        ("[services.till]\nneeds = [1]", {}, {}, "services.till.needs[0]: expected `str`"),
        (
            "[external.a]\nurl = 'http://x'\n[external.b]\nurl = 'http://y'\nur = 1",
            {},
            {},
            "external.b.ur is no option; did you mean url?",
        ),
        ("a = [", {}, {}, "is not valid TOML"),
    ],
)
def test_a_wrong_option_is_named_with_its_source(
    tmp_path: Path,
    toml: str,
    environment: dict[str, str],
    flags: dict[str, object],
    expected: str,
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        loaded(tmp_path, toml, environment, flags)
    assert expected in str(caught.value)


def test_a_file_that_is_not_utf8_is_no_toml(tmp_path: Path) -> None:
    (tmp_path / "borough.toml").write_bytes(b"name = '\xff'")
    with pytest.raises(ConfigurationError, match=r"is not in UTF-8, .* line 1\. Save it as UTF-8"):
        Configuration.load(tmp_path, {})


def test_a_file_that_is_a_folder_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "borough.toml").mkdir()
    with pytest.raises(ConfigurationError, match="cannot be read"):
        Configuration.load(tmp_path, {})


def test_a_pipe_in_the_files_place_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "borough.toml")
    with pytest.raises(ConfigurationError, match=r"is a pipe, .*; put a file there"):
        Configuration.load(tmp_path, {})


def test_a_link_that_leads_nowhere_is_not_taken_for_no_file(tmp_path: Path) -> None:
    (tmp_path / "borough.toml").symlink_to("gone.toml")
    with pytest.raises(ConfigurationError, match="cannot be read: No such file"):
        Configuration.load(tmp_path, {})


@pytest.mark.parametrize("option", ["edge.host", "internal.host", "grpc.host", "data.folder"])
def test_a_variable_without_a_value_is_no_address_and_no_folder(
    tmp_path: Path, option: str
) -> None:
    variable = variable_of(option)
    with pytest.raises(ConfigurationError, match=f"{variable}: {option}: .* length >= 1"):
        Configuration.load(tmp_path, {variable: ""})


@pytest.mark.parametrize(
    ("toml", "expected"),
    [
        ("hots = 1", "services.mail.settings.hots is no setting of mail; did you mean host?"),
        ("retries = 'x'", "retries: expected `int`, got `str`"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, toml: str, expected: str) -> None:
    configuration = loaded(tmp_path, f"[services.mail.settings]\n{toml}\n")
    with pytest.raises(ConfigurationError) as caught:
        configuration.settings("mail", MailSettings)
    assert expected in str(caught.value)


def test_a_setting_whose_variable_is_an_option_is_refused(tmp_path: Path) -> None:
    class DoorSettings(Settings):
        port: int = 1

    configuration = loaded(tmp_path, environment={"BOROUGH_EDGE_PORT": "1234"})
    with pytest.raises(ConfigurationError, match=r"is the option edge\.port"):
        configuration.settings("edge", DoorSettings)


# --- secrets --------------------------------------------------------------------------------------


def secret_toml(reference: str, name: str = "key") -> str:
    given = {"key": "env:K", name: reference}
    lines = [f'{key} = "{value}"\n' for key, value in given.items()]
    return "[services.pay.settings]\n" + "".join(lines)


def test_a_secret_comes_by_reference_to_the_environment(tmp_path: Path) -> None:
    configuration = loaded(tmp_path, secret_toml("env:PAY_KEY"), {"PAY_KEY": "hunter2"})
    assert configuration.settings("pay", KeySettings).key.reveal() == "hunter2"


def test_a_secret_comes_by_reference_to_a_file_beside_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "key.txt").write_text("hunter2\n")
    configuration = loaded(tmp_path, secret_toml("file:key.txt"))
    assert configuration.settings("pay", KeySettings).key.reveal() == "hunter2"


def test_a_secrets_own_variable_holds_the_secret_itself(tmp_path: Path) -> None:
    configuration = loaded(
        tmp_path, environment={"BOROUGH_PAY_KEY": "hunter2", "BOROUGH_PAY_SPARE": "hunter3"}
    )
    settings = configuration.settings("pay", KeySettings)
    assert settings.key.reveal() == "hunter2"
    assert settings.spare is not None
    assert settings.spare.reveal() == "hunter3"


@pytest.mark.parametrize("name", ["key", "spare"])
def test_a_secret_in_clear_is_refused_and_not_repeated(tmp_path: Path, name: str) -> None:
    configuration = loaded(tmp_path, secret_toml("hunter2", name), {"K": "x"})
    with pytest.raises(ConfigurationError, match="is a secret in clear") as caught:
        configuration.settings("pay", KeySettings)
    assert "hunter2" not in str(caught.value)


def test_a_secret_in_clear_is_refused_as_a_flag_too(tmp_path: Path) -> None:
    configuration = loaded(tmp_path, flags={"services.pay.settings.key": "hunter2"})
    with pytest.raises(ConfigurationError, match=r"\(flag\) is a secret in clear"):
        configuration.settings("pay", KeySettings)


@pytest.mark.parametrize(
    ("toml", "expected"),
    [
        ("", 'key is missing; give it "env:NAME" or "file:PATH"'),
        (secret_toml("env:NOT_SET"), "the environment has no NOT_SET"),
        (secret_toml("file:nowhere"), "nowhere cannot be read: No such file"),
    ],
)
def test_a_missing_secret_is_named(tmp_path: Path, toml: str, expected: str) -> None:
    configuration = loaded(tmp_path, toml)
    with pytest.raises(ConfigurationError) as caught:
        configuration.settings("pay", KeySettings)
    assert expected in str(caught.value)
    assert "services.pay.settings" in str(caught.value)


def test_a_secret_is_never_shown(tmp_path: Path) -> None:
    configuration = loaded(tmp_path, secret_toml("env:PAY_KEY"), {"PAY_KEY": "hunter2"})
    settings = configuration.settings("pay", KeySettings)
    shown = f"{settings} {settings!r} {settings.key} {settings.key!r} {configuration.explain()}"
    assert "hunter2" not in shown
    assert explained(configuration, "services.pay.settings.key") == ("***", "borough.toml")


def test_a_secret_in_a_format_is_masked() -> None:
    secret = Secret("hunter2")
    assert f"{secret:>12}|{secret!s}|{secret!r:.6}" == " Secret(***)|Secret(***)|Secret"
    assert "hunter2" not in "%s" % secret + "{:<20}".format(secret)  # noqa: UP031, UP032


def test_a_secret_is_no_json() -> None:
    settings = KeySettings(key=Secret("hunter2"))
    for encode in (msgspec.json.encode, msgspec.to_builtins, json.dumps):
        for value in (settings, settings.key):
            with pytest.raises(TypeError) as caught:
                encode(value)
            assert "hunter2" not in str(caught.value)


def test_secrets_are_compared_by_what_they_hold() -> None:
    assert Secret("hunter2") == Secret("hunter2")
    assert hash(Secret("hunter2")) == hash(Secret("hunter2"))
    assert Secret("hunter2") != Secret("hunter3")
    assert Secret("hunter2") != "hunter2"
    assert KeySettings(key=Secret("ä")) == KeySettings(key=Secret("ä"))


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("https://chat.example/hooks/s3cret", "https://chat.example/…"),
        ("https://chat.example?key=s3cret", "https://chat.example/…"),
        ("env:CHAT", "env:CHAT"),
        ("mailto:night@shop.example", "mailto:night@shop.example"),
    ],
)
def test_where_a_team_is_told_is_explained_without_what_lets_others_write_there(
    tmp_path: Path, given: str, shown: str
) -> None:
    configuration = loaded(tmp_path, f'[teams.checkout]\nalerts = "{given}"\n')
    assert explained(configuration, "teams.checkout.alerts")[0] == shown


def test_a_text_that_begins_like_a_reference_can_be_written(tmp_path: Path) -> None:
    toml = '[services.post]\nenvironment = { URL = "literal:file:./dev.db" }\n'
    assert loaded(tmp_path, toml).variables("post") == ({"URL": "file:./dev.db"}, ())
    with pytest.raises(ConfigurationError, match='or write "literal:'):
        loaded(tmp_path, toml.replace("literal:", "")).variables("post")


def test_what_a_command_is_told_by_borough_is_not_taken_for_an_option(tmp_path: Path) -> None:
    told = {"BOROUGH_SYSTEM": "village", "BOROUGH_SYSTEM_DATA": "/data", "BOROUGH_SERVICE": "post"}
    configuration = loaded(tmp_path, "", told)
    assert configuration.unread_variables() == []
    assert configuration.data_folder == tmp_path / ".borough"


def test_what_a_command_is_told_is_explained_by_reference_alone(tmp_path: Path) -> None:
    toml = '[services.post]\nenvironment = { DB_PASSWORD = "hunter2", KEY = "env:KEY" }\n'
    configuration = loaded(tmp_path, toml)
    assert explained(configuration, "services.post.environment.DB_PASSWORD")[0] == "***"
    assert explained(configuration, "services.post.environment.KEY")[0] == "env:KEY"


def test_a_password_in_a_url_is_not_explained(tmp_path: Path) -> None:
    toml = '[edge.tokens]\nissuer = "x"\njwks = "https://ann:hunter2@id.example/keys"\n'
    configuration = loaded(tmp_path, toml)
    assert explained(configuration, "edge.tokens.jwks")[0] == "https://***@id.example/keys"


@pytest.mark.parametrize("leave", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_secret_does_not_leave_the_process(leave: object) -> None:
    assert callable(leave)
    with pytest.raises(TypeError, match="does not leave the process"):
        leave(Secret("hunter2"))


def test_a_configuration_with_further_flags_keeps_the_others(tmp_path: Path) -> None:
    first = loaded(tmp_path, PORT, ENVIRONMENT, {"edge.host": "0.0.0.0"})
    second = first.with_flags({"internal.port": 7})
    edge = second.options.edge
    assert (edge.host, edge.port, second.options.internal.port) == ("0.0.0.0", 1002, 7)
    assert first.options.internal.port == 0


# --- variables that nothing reads -------------------------------------------------------------------


def test_a_variable_that_nothing_reads_is_told_with_the_name_that_was_meant(
    tmp_path: Path,
) -> None:
    environment = {
        "BOROUGH_EDGE_PROT": "8081",
        "BOROUGH_MAIL_HOTS": "mail.example",
        "BOROUGH_ZZZ": "s3cret",
        "BOROUGHS": "5",
        "HOME": "/",
    }
    configuration = loaded(tmp_path, environment=environment)
    configuration.settings("mail", MailSettings)
    assert configuration.unread_variables() == [
        "BOROUGH_EDGE_PROT is set and is neither an option nor a setting; "
        "did you mean BOROUGH_EDGE_PORT?",
        "BOROUGH_MAIL_HOTS is set and is neither an option nor a setting; "
        "did you mean BOROUGH_MAIL_HOST?",
        "BOROUGH_ZZZ is set and is neither an option nor a setting; remove it",
    ]


def test_a_variable_that_something_reads_is_not_told(tmp_path: Path) -> None:
    environment = {
        "BOROUGH_EDGE_PORT": "1002",
        "BOROUGH_MAIL_HOST": "mail.example",
        "BOROUGH_SIGNING_WORD": "s3cret",
        **dict.fromkeys(OWN_VARIABLES, "all"),
    }
    toml = '[services.pay.settings]\nkey = "env:BOROUGH_SIGNING_WORD"\n'
    configuration = loaded(tmp_path, toml, environment)
    configuration.settings("mail", MailSettings)
    configuration.settings("pay", KeySettings)
    assert configuration.unread_variables() == []


def test_variables_of_a_service_that_is_not_here_are_not_judged(tmp_path: Path) -> None:
    configuration = loaded(tmp_path, environment={"BOROUGH_MAIL_HOTS": "x", "BOROUGH_MAILS": "x"})
    (sentence,) = configuration.unread_variables(["mail"])
    assert sentence.startswith("BOROUGH_MAILS is set")


def test_the_variables_of_our_own_tests_are_known() -> None:
    root = Path(__file__).parents[2]
    read: set[str] = set()
    for place in (*root.glob("tests/*.py"), *root.glob("tests/browser/*.py")):
        found = re.findall(r'environ\S*["\'](BOROUGH_\w+)', place.read_text(encoding="utf-8"))
        read.update(found)
    assert read == OWN_VARIABLES
