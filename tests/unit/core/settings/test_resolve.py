"""Precedence and provenance."""

import itertools

import pytest

from connect_proxy.errors import ConfigurationError, UsageError
from connect_proxy.settings.resolve import resolve
from connect_proxy.settings.setting import Setting, Source, Sourced, Type

WORD = Setting(name="proxy-id", help="")
VERIFY = Setting(name="http-ssl-verify", type=Type.BOOLEAN, default=True, help="")
LAYERS = {
    Source.DEFAULT: Sourced("d", Source.DEFAULT, "default"),
    Source.FILE: Sourced("f", Source.FILE, 'the key "proxy-id" of "x"'),
    Source.ENVIRONMENT: Sourced("e", Source.ENVIRONMENT, "CONNECT_PROXY_ID"),
    Source.FLAG: Sourced("g", Source.FLAG, "-proxy-id"),
}


@pytest.mark.parametrize(
    "present",
    [subset for n in range(4) for subset in itertools.combinations(list(Source)[1:], n)],
)
def test_flag_beats_variable_beats_file_beats_default(present: tuple[Source, ...]) -> None:
    layers = [{"proxy-id": LAYERS[s]} if s in (Source.DEFAULT, *present) else {} for s in Source]
    settings = resolve((WORD,), layers)
    assert settings.values["proxy-id"] == LAYERS[(Source.DEFAULT, *present)[-1]]


def test_an_empty_flag_overrides_the_variable() -> None:
    layers = ({"proxy-id": LAYERS[Source.ENVIRONMENT]}, {"proxy-id": Sourced("", Source.FLAG, "-proxy-id")})
    assert resolve((WORD,), layers).text("proxy-id") == ""


def test_an_unparsable_boolean_variable_is_an_error_and_never_turns_verification_off() -> None:
    said = {"http-ssl-verify": Sourced("nope", Source.ENVIRONMENT, "CONSUL_HTTP_SSL_VERIFY")}
    with pytest.raises(ConfigurationError) as refused:
        resolve((VERIFY,), (said,))
    text = str(refused.value)
    assert text.startswith('CONSUL_HTTP_SSL_VERIFY is "nope": not a boolean')
    assert "FALSE, false, False" in text


def test_what_a_lower_layer_says_is_not_even_parsed() -> None:
    broken = {"http-ssl-verify": Sourced("nope", Source.ENVIRONMENT, "CONSUL_HTTP_SSL_VERIFY")}
    flag = {"http-ssl-verify": Sourced("false", Source.FLAG, "-http-ssl-verify")}
    assert resolve((VERIFY,), (broken, flag)).boolean("http-ssl-verify") is False


def test_a_malformed_flag_is_a_usage_error_a_malformed_key_one_of_configuration() -> None:
    with pytest.raises(UsageError, match='-http-ssl-verify is "x"'):
        resolve((VERIFY,), ({"http-ssl-verify": Sourced("x", Source.FLAG, "-http-ssl-verify")},))
    with pytest.raises(ConfigurationError, match=r'the key "http-ssl-verify" of "x\.toml" is "1"'):
        resolve(
            (VERIFY,),
            ({"http-ssl-verify": Sourced(1, Source.FILE, 'the key "http-ssl-verify" of "x.toml"')},),
        )


def test_a_secret_is_not_repeated_in_the_message() -> None:
    row = Setting(name="token", secret=True, help="")
    with pytest.raises(ConfigurationError) as refused:
        resolve((row,), ({"token": Sourced(4711, Source.FILE, "the key")},))
    assert "4711" not in str(refused.value)


def test_a_repeatable_setting_is_a_tuple_from_every_source() -> None:
    row = Setting(name="upstream", type=Type.STRINGS, default=(), help="")
    for said in (
        Sourced(("a", "b"), Source.FLAG, "-upstream"),
        Sourced("a, b", Source.ENVIRONMENT, "UPSTREAM"),
        Sourced(["a", "b"], Source.FILE, "the key"),
        Sourced(("a", "b"), Source.DEFAULT, "default"),
    ):
        assert resolve((row,), ({"upstream": said},)).values["upstream"].value == ("a", "b")


def test_the_typed_values_and_their_origin() -> None:
    rows = (
        Setting(name="wait", type=Type.DURATION, default=0.0, help=""),
        Setting(name="port", type=Type.INTEGER, default=0, help=""),
    )
    settings = resolve(
        rows,
        (
            {
                "wait": Sourced("1m", Source.FLAG, "-wait"),
                "port": Sourced("8500", Source.ENVIRONMENT, "PORT"),
            },
        ),
    )
    assert (settings.seconds("wait"), settings.integer("port")) == (60.0, 8500)
    assert (settings.origin("port"), settings.source("port")) == ("PORT", Source.ENVIRONMENT)
    assert settings.only(rows[:1]) == {"wait": Sourced(60.0, Source.FLAG, "-wait")}
    assert "60.0" not in repr(settings)  # the address in it may hold a 60
