import ast
import tokenize
from pathlib import Path

ROOT = Path(__file__).parents[2]
LIMIT = 1_650
DEFINITIONS = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def code_lines(path: Path) -> int:
    """Count logical lines, a statement over several physical ones once; blanks, comments and docstrings not at all."""
    with tokenize.open(path) as source:
        logical = sum(token.type == tokenize.NEWLINE for token in tokenize.generate_tokens(source.readline))
    definitions = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, DEFINITIONS)]
    return logical - sum(ast.get_docstring(definition) is not None for definition in definitions)


def test_the_count_knows_code_from_words(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text(
        '"""Words.\n\nMore.\n"""\n\n# a comment\nx = (\n    1,\n)\n\n\ndef f():\n    """Words."""\n    return x\n'
    )
    assert code_lines(module) == 3


def test_the_chassis_stays_small() -> None:
    # The real servers that tests run on are test equipment: no process loads them.
    modules = [path for path in (ROOT / "chassis" / "src").rglob("*.py") if path.name != "testing.py"]
    total = sum(code_lines(path) for path in modules)
    assert 0 < total <= LIMIT, f"{total} lines of code"


def test_no_process_loads_the_test_servers() -> None:
    sources = [
        path
        for folder in ("chassis/src", "mail/src", "gateway/src", "services", "suite/src")
        for path in (ROOT / folder).rglob("*.py")
        if "tests" not in path.parts and path.name != "testing.py"
    ]
    assert not [str(path) for path in sources if "chassis.testing" in path.read_text()]
