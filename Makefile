# make              the program, build/linearity
# make setup        install the distribution packages that are missing
# make model        fetch the default model into models/ (92 MB, checked by SHA-256)
# make quickstart   set-up, build, model, the main job on it, pictures: under 12 minutes on two cores
# make test         set-up, build, all tests: under 6 minutes on two cores
# make check-real   the long checks on the default model (its time is printed first)
# make check-data DATA=DIR   the checks that need a folder of texts, tokenizers and trained models
# make asan         the tests again under the address and undefined-behaviour sanitizers
BUILD  ?= build
OPT    ?= -O3                  # SIMD by run-time dispatch (target attributes), not -march=native: binaries move between machines
WARN   := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Werror
CFLAGS := -std=c17 -D_GNU_SOURCE $(OPT) -g -ffp-contract=off -fopenmp $(WARN)  # never -ffast-math: it deletes NaN checks
CFLAGS += -fno-math-errno -fno-trapping-math          # nobody reads errno or the flags; without these gcc vectorizes no sqrt, no select
PACKAGES := hdf5 yaml-0.1 jansson libpcre2-8 libutf8proc zlib libcrypto openblas
CPPFLAGS := -I. -MMD -MP $(shell pkg-config --cflags $(PACKAGES) 2>/dev/null)
LDLIBS := $(shell pkg-config --libs $(PACKAGES) 2>/dev/null) -lm
PYTHON ?= python3

LIB   := $(filter-out core/tests/%,$(wildcard core/*/*.c kernels/*.c kernels/cpu/*.c))
TESTS := $(wildcard core/tests/test_*.c kernels/tests/test_*.c)
OBJ   := $(LIB:%=$(BUILD)/obj/%.o)
MAIN  := $(patsubst %,$(BUILD)/obj/%.o,$(wildcard experiments/*.c))
TESTBIN := $(TESTS:%.c=$(BUILD)/tests/%)

all: $(BUILD)/linearity
$(BUILD)/core.a: $(OBJ) ; @rm -f $@
	@ar qcs $@ $^
$(BUILD)/linearity: $(MAIN) $(BUILD)/core.a ; $(CC) $(CFLAGS) $(SAN) -o $@ $^ $(LDLIBS)
$(BUILD)/tests/%: $(BUILD)/obj/%.c.o $(BUILD)/core.a ; @mkdir -p $(@D)
	$(CC) $(CFLAGS) $(SAN) -o $@ $^ $(LDLIBS) -lcmocka
$(BUILD)/obj/%.c.o: %.c Makefile ; @mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) $(SAN) -c -o $@ $<

# Paths that tests read; a test that lacks its file says aloud that it was skipped.
export LINEARITY_MODEL ?= models/SmolLM2-135M-Instruct.Q4_1.gguf
export LINEARITY_DATA ?= $(DATA)
export LINEARITY_BINARY := $(BUILD)/linearity

unit: $(BUILD)/linearity $(TESTBIN)
	@failed=0; for t in $(TESTBIN); do echo "== $$t"; $$t || failed=1; done; exit $$failed

clean: ; rm -rf $(BUILD)
.PHONY: all unit setup model quickstart test check-real check-data asan clean
.SECONDARY:
-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
