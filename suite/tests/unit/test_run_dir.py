from pathlib import Path

import pytest

from suite.run_dir import RunDirUnusable, held


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunDirUnusable, match="set RUN_DIR to a folder"), held(tmp_path / "file" / "run"):
        pass
