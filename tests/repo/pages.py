# SPDX-License-Identifier: MIT
"""The pages of the manual, as man/page reads them."""
import os
import types

from promise import ROOT, read, tracked


def load_page_class():
    """Page of man/page, which is a program and has no .py."""
    module = types.ModuleType('page')
    exec(compile(read('man/page'), 'man/page', 'exec'), module.__dict__)
    return module.Page


Page = load_page_class()
PAGES = [Page(os.path.join(ROOT, path)) for path in tracked('man/')
         if path.endswith('.scd')]
