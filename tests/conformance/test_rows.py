# SPDX-License-Identifier: Apache-2.0
"""The rows themselves: each is one test, and none is missing."""
import importlib

from tests.conformance.plugins import PLUGINS, RUNTIME_ROWS, row_of

FILES = ("test_rows_01_22", "test_rows_23_38", "test_rows_39_60")


def test_every_row_is_one_test():
    found = [row_of(name) for file in FILES for name in vars(importlib.import_module(f"tests.conformance.{file}"))
             if name.startswith("test_row")]
    assert sorted(found) == list(range(1, 61))


def test_rows_that_a_plugin_goes_without_are_few_and_have_reasons():
    for plugin in PLUGINS.values():
        assert set(plugin.without) <= set(range(1, 61)) and all(len(reason) > 20 for reason in plugin.without.values())
        assert len(plugin.without) <= 2, plugin.name


def test_the_rows_that_runtimes_depend_on_are_30_and_mean_something_for_every_plugin():
    assert len(RUNTIME_ROWS) == 30
    for plugin in PLUGINS.values():
        assert not RUNTIME_ROWS & set(plugin.without), plugin.name
