"""What a daemon writes when something breaks."""

import pytest
import structlog

from proto import logs


@pytest.fixture
def _restored():
    saved = structlog.get_config()
    yield
    structlog.configure(**saved)


@pytest.mark.usefixtures("_restored")
@pytest.mark.parametrize("form", ["console", "json"])
def test_a_traceback_is_short_and_shows_no_variables(form, capfdbinary):
    logs.configure(form, "info")
    password = "hun" + "ter2"  # what a frame holds may be a secret, and large
    try:
        {}[len(password)]
    except KeyError:
        structlog.get_logger().exception("pass.failed")
    written = capfdbinary.readouterr().err.decode()
    assert "KeyError" in written
    assert "test_logs.py" in written
    assert "hunter2" not in written
    assert written.count("\n") < 20
