# heapray: build, test, install. GNU make, no configure step.
#   make all | deps | demo | check | bench | layers | fuzz | tidy | install

# The one list of Debian packages (build, run and test). `make deps` installs what is missing.
DEPS := gcc g++ make libc6-dev libdwarf-dev libcapstone-dev libpcre2-dev zlib1g-dev libzstd-dev liblz4-dev \
        gdb libc6-dbg gcc-multilib python3 perl git

CC ?= gcc
B ?= build
OPT ?= -O2 -g
WARN := -Wall -Wextra -Wshadow -Wpointer-arith -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wundef \
        -Wno-missing-field-initializers $(if $(CI),-Werror)
CFLAGS_ALL := -std=gnu11 $(OPT) $(WARN) -D_FILE_OFFSET_BITS=64 -D_GNU_SOURCE -I. $(CFLAGS)
LIBS := -ldwarf -lcapstone -lpcre2-8 -lz -lzstd -llz4 -lpthread -lm

SRC := $(wildcard analyzer/*/*.c analyzer/*/*/*.c analyzer/*.c formats/*/*.c rules/engine/*.c)
MAIN := analyzer/main.c
LIBSRC := $(filter-out $(MAIN),$(SRC))
LIBOBJ := $(LIBSRC:%.c=$(B)/%.o)
UNITS := $(patsubst tests/unit/%.c,$(B)/tests/unit/%,$(wildcard tests/unit/test_*.c))

.PHONY: all deps demo check bench layers fuzz tidy install clean
.DELETE_ON_ERROR:
all: $(B)/libheapray.a $(if $(wildcard $(MAIN)),$(B)/heapray) units
units: $(UNITS)

$(B)/libheapray.a: $(LIBOBJ)
	@rm -f $@ && ar rcs $@ $^
$(B)/heapray: $(B)/analyzer/main.o $(B)/libheapray.a
	$(CC) $(CFLAGS_ALL) $(LDFLAGS) -o $@ $^ $(LIBS)
$(B)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<
$(B)/tests/unit/%: tests/unit/%.c $(B)/libheapray.a
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) $(LDFLAGS) -MMD -MP -o $@ $< $(B)/libheapray.a $(LIBS)
-include $(shell find $(B) -name '*.d' 2>/dev/null)

layers:
	@python3 tests/layers.py

clean:
	rm -rf build build-*
