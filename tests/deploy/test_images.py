import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PORTS = {"gateway": 8000, "auth": 7101, "market": 7102, "portfolio": 7103, "brokers": 7104, "alerts": 7105}
FOLDERS = {name: "gateway" if name == "gateway" else f"services/{name}" for name in PORTS}


def dockerfile(name: str) -> str:
    return (ROOT / FOLDERS[name] / "Dockerfile").read_text()


def without_what_differs(name: str) -> str:
    """Return a Dockerfile without the process's name, folder, port and address, and without mail, which some send."""
    text = dockerfile(name)
    text = text.replace("COPY mail mail\n", "").replace(" ./mail", "")
    text = text.replace(f"bourse/{name} ", "bourse/NAME ").replace(f'"-m", "{name}"', '"-m", "NAME"')
    text = text.replace(FOLDERS[name], "FOLDER").replace(str(PORTS[name]), "PORT")
    text = text.replace("http://127.0.0.1:PORT/readyz", "127.0.0.1:PORT")
    return re.sub(rf"    {name.upper()}_(ADDRESS|HOST)=[\s\S]*?\nWORKDIR", "    ADDRESS\nWORKDIR", text)


@pytest.mark.parametrize("name", FOLDERS)
def test_images_are_made_alike(name: str) -> None:
    assert without_what_differs(name) == without_what_differs("market")


@pytest.mark.parametrize("name", FOLDERS)
def test_an_image_holds_mail_where_its_process_sends_some(name: str) -> None:
    manifest = (ROOT / FOLDERS[name] / "pyproject.toml").read_text()
    assert ("COPY mail mail" in dockerfile(name)) == ('"bourse-mail"' in manifest)


@pytest.mark.parametrize("name", FOLDERS)
def test_the_classic_builder_can_make_it(name: str) -> None:
    assert not re.search(r"^# *syntax|--mount|--link|<<", dockerfile(name), re.MULTILINE)


@pytest.mark.parametrize("name", FOLDERS)
def test_an_image_listens_where_its_settings_say(name: str) -> None:
    example = (ROOT / ".env.example").read_text()
    variable = "GATEWAY_PORT=" if name == "gateway" else f"{name.upper()}_ADDRESS=127.0.0.1:"
    assert f"#{variable}{PORTS[name]}\n" in example
    assert f"EXPOSE {PORTS[name]} 9100\n" in dockerfile(name)
    assert re.search(r"\bMETRICS_ADDRESS=0\.0\.0\.0:9100\b", dockerfile(name))


def test_tests_and_secrets_stay_out_of_what_is_sent_to_the_builder() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert lines[1] == "*"
    assert "**/tests" in lines
    assert not [line for line in lines if line.startswith("!") and ".env" in line]
