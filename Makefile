# heapray: build, test, install. GNU make, no configure step.
#   make all       library, command line tool, test programs           make check    everything that is tested, from nothing
#   make deps      install the Debian packages that are missing         make demo     a real core of a sample, and its report
#   make samples   the sample programs and a core of each               make bench    cost for 10^5 to 2.5*10^7 blocks
#   make sweep     reader sweeps under ASan+UBSan                       make fuzz     libFuzzer, SECONDS_EACH=60 each
#   make layers    no include against the architecture                  make tidy     clang-tidy, gcc -fanalyzer
#   make install   DESTDIR= PREFIX=/usr/local

# The one list of Debian packages (build, run and test). `make deps` installs what is missing.
DEPS := gcc g++ make libc6-dev libdwarf-dev libcapstone-dev libpcre2-dev zlib1g-dev libzstd-dev liblz4-dev libjansson-dev \
        gdb libc6-dbg gcc-12-multilib g++-12-multilib libc6-dev-i386 python3 python3-numpy perl git sqlite3 zstd lz4 dwz strace python3-lxml
# Firmware for tests and samples: compilers, C libraries, emulators of microcontrollers; about a minute and a half to install.
# `make check NO_FIRMWARE=1` does without.
FIRMWARE_DEPS := gcc-arm-none-eabi libnewlib-arm-none-eabi libstdc++-arm-none-eabi-newlib picolibc-arm-none-eabi gcc-riscv64-unknown-elf picolibc-riscv64-unknown-elf \
        qemu-system-arm qemu-system-misc srecord firmware-microbit-micropython
# Needed by `make fuzz` and `make tidy` only; large, so not for every check.
CLANG_DEPS := clang clang-tidy libclang-rt-14-dev

CC ?= gcc
B ?= build
OPT ?= -O2 -g
PREFIX ?= /usr/local
SECONDS_EACH ?= 60
WARN := -Wall -Wextra -Wshadow -Wpointer-arith -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wundef \
        -Wno-missing-field-initializers $(if $(CI),-Werror)
CFLAGS_ALL = -std=gnu11 $(OPT) $(WARN) -D_FILE_OFFSET_BITS=64 -D_GNU_SOURCE -I. $(CFLAGS)
LIBS := -ldwarf -lcapstone -lpcre2-8 -ljansson -lz -lzstd -llz4 -lpthread -lm
SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer

SRC := $(wildcard analyzer/*/*.c analyzer/*/*/*.c analyzer/*.c formats/*/*.c rules/engine/*.c)
MAIN := analyzer/main.c
LIBSRC := $(filter-out $(MAIN),$(SRC))
LIBOBJ := $(LIBSRC:%.c=$(B)/%.o) $(B)/rules/packs.o
PACKS := $(sort $(wildcard rules/packs/*.rules))
MAKEOBJ := $(patsubst %.c,$(B)/%.o,$(wildcard tests/make/*.c)) # writers of ELF, DWARF, heap images: linked into every test
programs = $(patsubst %.c,$(B)/%,$(wildcard $(1)))
UNITS := $(call programs,tests/unit/test_*.c)
SWEEPS := $(call programs,tests/sweep/test_*.c tests/torture/test_*.c)
FUZZ := $(filter-out %/replay,$(call programs,tests/fuzz/*.c))
TOOLS := $(call programs,tests/tools/*.c)
BENCHES := $(call programs,tests/bench/*.c)
LINK = @mkdir -p $(@D); echo LD $@; $(CC) $(CFLAGS_ALL) $(LDFLAGS) -MMD -MP -o $@ $(filter %.c %.o %.a,$^) $(LIBS)

.PHONY: all units benches fuzzers sweeps tools deps firmware-deps clang-deps demo check bench samples layers sweep fuzz tidy install clean
.DELETE_ON_ERROR:
.SECONDARY:
all: $(B)/libheapray.a $(if $(wildcard $(MAIN)),$(B)/heapray) units tools
units: $(UNITS)
sweeps: $(SWEEPS)
fuzzers: $(FUZZ)
tools: $(TOOLS)
benches: $(BENCHES)

$(B)/libheapray.a: $(LIBOBJ)
	@rm -f $@ && ar rcs $@ $^
$(B)/heapray: $(B)/analyzer/main.o $(B)/libheapray.a
	@echo LD $@; $(CC) $(CFLAGS_ALL) $(LDFLAGS) -o $@ $^ $(LIBS)
$(B)/%.o: %.c
	@mkdir -p $(@D)
	@echo CC $<; $(CC) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<
$(UNITS) $(SWEEPS) $(TOOLS) $(BENCHES): $(B)/%: %.c $(MAKEOBJ) $(B)/libheapray.a
	$(LINK)
# A fuzz target does not look at results; gcc does not take a cast to void for an answer.
$(FUZZ): private WARN += -Wno-unused-result
$(FUZZ): $(B)/%: %.c $(B)/tests/fuzz/replay.o $(MAKEOBJ) $(B)/libheapray.a
	$(LINK)
# The built-in rules become strings of the program.
$(B)/rules/packs.c: $(PACKS) Makefile
	@mkdir -p $(@D)
	@{ echo '#include "rules/engine/packs.h"'; echo 'const struct hr_pack hr_packs[] = {'; \
	  for f in $(PACKS); do echo "{\"$$f\", \"\""; \
	    sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e 's/^/"/' -e 's/$$/\\n"/' $$f; echo '},'; done; \
	  echo '{0, 0}};'; } >$@
$(B)/rules/packs.o: $(B)/rules/packs.c
	$(CC) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<
-include $(shell find $(B) -name '*.d' 2>/dev/null)

layers:
	@python3 tests/layers.py

# ---- packages ----
# $(call install,PACKAGES): quiet and offline when all are there.
define install
@missing=$$(for p in $(1); do \
    dpkg-query -W -f '$${db:Status-Status}\n' $$p 2>/dev/null | grep -qx installed || echo $$p; done); \
[ -z "$$missing" ] || { echo installing $$missing; sudo=; [ "$$(id -u)" = 0 ] || sudo=sudo; \
    $$sudo apt-get update -qq && \
    $$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null; }
endef
deps:
	$(call install,$(DEPS))
firmware-deps: deps
	$(if $(NO_FIRMWARE),,$(call install,$(FIRMWARE_DEPS)))
clang-deps: deps
	$(call install,$(CLANG_DEPS))

# ---- tests: sub-makes, because what is there to build is known only once the packages are ----
SUB := $(MAKE) --no-print-directory
ASAN := $(SUB) CI= B=build-asan OPT='-O1 -g $(SANITIZE)' LDFLAGS='$(SANITIZE)'
check: deps firmware-deps
	@$(SUB) all layers
	@$(ASAN) sweeps fuzzers
	@tests/run
sweep: deps
	@$(ASAN) sweeps fuzzers
	@tests/run sweep torture fuzz

# Short by default, to see that nothing is open; hours belong to a machine of its own: make fuzz SECONDS_EACH=86400
fuzz: clang-deps
	@$(SUB) B=build-fuzz CC=clang OPT='-O1 -g -fsanitize=fuzzer-no-link,address,undefined' libfuzzers
	@for f in build-fuzz/fuzz/*; do n=$$(basename $$f); mkdir -p build-fuzz/new/$$n; \
	    echo "== $$n"; $$f -max_total_time=$(SECONDS_EACH) -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 \
	        -artifact_prefix=build-fuzz/$$n- build-fuzz/new/$$n $$(ls -d tests/fuzz/corpus/$$n 2>/dev/null) \
	        >build-fuzz/$$n.log 2>&1 || { tail -40 build-fuzz/$$n.log; exit 1; }; \
	    tail -8 build-fuzz/$$n.log | grep -E 'executed|new_units|peak'; done
libfuzzers: $(patsubst $(B)/tests/fuzz/%,$(B)/fuzz/%,$(FUZZ))
$(B)/fuzz/%: tests/fuzz/%.c $(MAKEOBJ) $(B)/libheapray.a
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) -fsanitize=fuzzer,address,undefined -o $@ $^ $(LIBS)

tidy: clang-deps
	clang-tidy --quiet -checks='-*,bugprone-*,cert-*,clang-analyzer-*,-bugprone-easily-swappable-parameters' \
	    $(SRC) -- $(CFLAGS_ALL)
	$(SUB) B=build-analyzer OPT='-O1 -g -fanalyzer' build-analyzer/libheapray.a

bench: deps
	@$(SUB) all benches
	@tests/bench/run.py

# ---- samples ----
SAMPLES := $(patsubst samples/%.c,$(B)/samples/%,$(wildcard samples/*.c)) \
           $(patsubst samples/%.cc,$(B)/samples/%,$(wildcard samples/*.cc))
samples: $(SAMPLES:%=%.core)
# As people ship them: optimised, with debug information. Not as PIE-less or static: what gcc does by default.
$(B)/samples/%: samples/%.c
	@mkdir -p $(@D)
	$(CC) -std=gnu11 -O1 -g -Wall -Wextra -o $@ $< -lpthread
$(B)/samples/%: samples/%.cc
	@mkdir -p $(@D)
	$(CXX) -std=gnu++17 -O1 -g -Wall -Wextra -o $@ $< -lpthread
$(B)/samples/%.core: $(B)/samples/% samples/dump
	@samples/dump $< $@

demo: deps
	@$(SUB) $(B)/heapray $(B)/samples/inventory.core
	@echo; echo '$$ heapray $(B)/samples/inventory.core'; $(B)/heapray $(B)/samples/inventory.core

# ---- install ----
install: $(B)/libheapray.a $(B)/heapray
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib $(DESTDIR)$(PREFIX)/include \
	    $(DESTDIR)$(PREFIX)/share/man/man1 $(DESTDIR)$(PREFIX)/share/bash-completion/completions
	install -m 755 $(B)/heapray $(DESTDIR)$(PREFIX)/bin/
	install -m 644 $(B)/libheapray.a $(DESTDIR)$(PREFIX)/lib/
	install -m 644 analyzer/heapray.h $(DESTDIR)$(PREFIX)/include/
	install -m 644 analyzer/cli/man/*.1 $(DESTDIR)$(PREFIX)/share/man/man1/
	install -m 644 analyzer/cli/completion/heapray.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/heapray

clean:
	rm -rf build build-*
