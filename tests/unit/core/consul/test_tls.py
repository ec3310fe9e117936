import ssl
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from connect_proxy.consul.access import AgentAccess
from connect_proxy.consul.tls import agent_tls_context
from connect_proxy.errors import ConfigurationError
from support.tls_files import ServerTls, make_server_tls


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> ServerTls:
    return make_server_tls(tmp_path_factory.mktemp("tls"))


def refused(access: AgentAccess) -> str:
    with pytest.raises(ConfigurationError) as failure:
        agent_tls_context(access)
    assert failure.value.exit_code == 3
    return str(failure.value)


def test_without_a_ca_the_systems_are_trusted() -> None:
    context = agent_tls_context(AgentAccess(scheme="https"))
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


def test_a_ca_file_replaces_the_systems(files: ServerTls) -> None:
    context = agent_tls_context(AgentAccess(scheme="https", ca_file=str(files.ca_file)))
    (ca,) = context.get_ca_certs()
    assert "test CA" in str(ca["subject"])
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2


def test_a_ca_path_is_read_whatever_its_files_are_called(files: ServerTls, tmp_path: Path) -> None:
    nested = tmp_path / "some" / "where"
    nested.mkdir(parents=True)
    (nested / "ours.txt").write_bytes(files.ca_file.read_bytes())
    context = agent_tls_context(AgentAccess(scheme="https", ca_path=str(tmp_path)))
    assert len(context.get_ca_certs()) == 1


def test_the_ca_file_wins_over_the_ca_path(files: ServerTls, tmp_path: Path) -> None:
    access = AgentAccess(scheme="https", ca_file=str(files.ca_file), ca_path=str(tmp_path / "missing"))
    assert len(agent_tls_context(access).get_ca_certs()) == 1


def test_verification_can_be_switched_off() -> None:
    context = agent_tls_context(AgentAccess(scheme="https", verify=False))
    assert context.verify_mode is ssl.CERT_NONE
    assert not context.check_hostname


def test_a_missing_ca_file_names_setting_and_path() -> None:
    text = refused(AgentAccess(ca_file="/no/such/ca.pem"))
    assert "-ca-file (CONSUL_CACERT)" in text
    assert "'/no/such/ca.pem'" in text
    assert "No such file" in text


def test_a_ca_file_that_is_no_pem_names_setting_and_path(tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    path.write_text("hello")
    text = refused(AgentAccess(ca_file=str(path)))
    assert "CONSUL_CACERT" in text
    assert str(path) in text


def test_a_ca_file_with_a_broken_certificate_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    path.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    assert str(path) in refused(AgentAccess(ca_file=str(path)))


def test_a_ca_path_that_is_no_directory_or_is_empty_is_refused(tmp_path: Path) -> None:
    assert "no directory" in refused(AgentAccess(ca_path=str(tmp_path / "missing")))
    assert "holds no file" in refused(AgentAccess(ca_path=str(tmp_path)))


def test_a_file_of_the_ca_path_that_is_no_pem_is_named(files: ServerTls, tmp_path: Path) -> None:
    (tmp_path / "good.pem").write_bytes(files.ca_file.read_bytes())
    (tmp_path / "bad.pem").write_text("hello")
    text = refused(AgentAccess(ca_path=str(tmp_path)))
    assert "CONSUL_CAPATH" in text
    assert "bad.pem" in text


def test_a_client_certificate_with_its_key_is_loaded(files: ServerTls) -> None:
    access = AgentAccess(client_cert=str(files.client_cert_file), client_key=str(files.client_key_file))
    assert isinstance(agent_tls_context(access), ssl.SSLContext)


def test_one_of_certificate_and_key_is_not_enough(files: ServerTls) -> None:
    text = refused(AgentAccess(client_cert=str(files.client_cert_file)))
    assert "without -client-key (CONSUL_CLIENT_KEY)" in text
    assert str(files.client_cert_file) in text
    text = refused(AgentAccess(client_key=str(files.client_key_file)))
    assert "without -client-cert (CONSUL_CLIENT_CERT)" in text


def test_a_missing_key_file_names_setting_and_path(files: ServerTls) -> None:
    text = refused(AgentAccess(client_cert=str(files.client_cert_file), client_key="/no/such/key"))
    assert "-client-key (CONSUL_CLIENT_KEY)" in text
    assert "'/no/such/key'" in text


def test_a_key_of_another_certificate_is_refused(files: ServerTls) -> None:
    text = refused(AgentAccess(client_cert=str(files.client_cert_file), client_key=str(files.key_file)))
    assert "does not belong" in text
    assert str(files.key_file) in text
    assert str(files.client_cert_file) in text


def test_a_key_that_is_no_pem_is_refused_without_its_content(files: ServerTls, tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    path.write_text("-----BEGIN EC PRIVATE KEY-----\nTOPSECRET\n-----END EC PRIVATE KEY-----\n")
    text = refused(AgentAccess(client_cert=str(files.client_cert_file), client_key=str(path)))
    assert str(path) in text
    assert "TOPSECRET" not in text


def test_an_encrypted_key_is_refused_without_asking_for_a_password(
    files: ServerTls, tmp_path: Path
) -> None:
    key = serialization.load_pem_private_key(files.client_key_file.read_bytes(), password=None)
    path = tmp_path / "key.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"password"),
        )
    )
    text = refused(AgentAccess(client_cert=str(files.client_cert_file), client_key=str(path)))
    assert "encrypted" in text
