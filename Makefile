# SPDX-License-Identifier: MIT
# The front door. Meson does the building; this finds what is missing, installs
# it, and starts the right thing. `make help` tells what there is.

PREFIX  = /usr/local
DESTDIR =
ARGS    =

export DESTDIR PREFIX

.NOTPARALLEL:
.PHONY: help bench check check-kernels build install clean

help:
	@scripts/help

bench:
	@scripts/setup bench $(if $(findstring --plot,$(ARGS)),plot)
	@scripts/build tool/uffd
	@build/tool/uffd bench $(ARGS)

check:
	@scripts/setup check
	@scripts/build
	@scripts/check build $(ARGS)

check-kernels:
	@scripts/setup check-kernels
	@scripts/check-kernels $(ARGS)

build:
	@scripts/setup build
	@scripts/build

install:
	@scripts/setup build
	@scripts/install

clean:
	@rm -rf build
