# SPDX-License-Identifier: MIT
"""Signals as a terminal's programs have them; and the closing line of `make test`, which other programs read."""
import signal


def pytest_configure():
    # A shell without job control ignores these for what it starts in the background, and all that we start would too.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)


def pytest_unconfigure(config):
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or hasattr(config, "workerinput"):
        return
    count = {key: len(reporter.stats.get(key, [])) for key in ("passed", "failed", "error", "skipped")}
    line = "%d passed, %d failed" % (count["passed"], count["failed"] + count["error"])
    if count["skipped"]:
        line += ", %d skipped" % count["skipped"]
    print(line)
