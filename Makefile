# SPDX-License-Identifier: MIT
# GNU make. `make` builds, `make run` shows the main job, `make test` tests.

B ?= build
ifeq ($(origin CC),default)
CC := gcc
endif
OPT ?= -O2 -g
BUDGET ?= 3600
SECONDS ?= 600
WARN := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes \
	-Wmissing-prototypes -Wpointer-arith -Wcast-qual -Wundef -Wvla \
	-Wwrite-strings -Wformat=2
ALL_CFLAGS := -std=c17 -D_GNU_SOURCE $(WARN) $(OPT) -Iinclude -Isrc \
	-fno-strict-aliasing -pthread $(SAN) $(CFLAGS)
LIBS := -lcrypto -lzstd -lm -pthread

objects = $(patsubst %.c,$(B)/%.o,$(wildcard $(1)))

BASE_OBJ := $(call objects,src/base/*.c)
PERSIST_OBJ := $(BASE_OBJ) \
	$(call objects,src/os/*.c src/engine/*.c src/engine/*/*.c \
		src/store/*.c src/keep/*.c)
SX_OBJ := $(BASE_OBJ) $(call objects,src/sx/*.c)
HOST_OBJ := $(call objects,src/host/*.c)
TESTLIB_OBJ := $(call objects,test/lib/*.c)

LIBPERSIST := $(B)/internal/libpersist.a
LIBSX := $(B)/internal/libsx.a
LIBHOST := $(B)/internal/libhost.a
LIBTEST := $(B)/internal/libtest.a

UNIT := $(patsubst test/unit/%.c,$(B)/unit/%,$(wildcard test/unit/*.c))
# A disk that logs its writes, where fuse is there.
RECORDER := $(if $(wildcard /usr/include/fuse3/fuse.h),$(B)/disk/recorder)
FORMAT := $(patsubst test/format/%.c,$(B)/format/%,$(wildcard test/format/*.c))
BIG := $(patsubst test/big/%.c,$(B)/big/%,$(wildcard test/big/*.c))
CRASH := $(patsubst test/crash/%.c,$(B)/crash/%,$(wildcard test/crash/*.c))
# A malloc that fails, for any program; the sanitizers bring their own.
FAILING_MALLOC := $(if $(findstring sanitize,$(SAN)),,$(B)/memory/preload.so)
FUZZ := $(patsubst test/fuzz/%.c,$(B)/fuzz/%,$(wildcard test/fuzz/*.c))
EXAMPLES := $(patsubst examples/c/%.c,$(B)/examples/%,$(wildcard examples/c/*.c))
BENCH := $(patsubst bench/%.c,$(B)/bench/%,$(wildcard bench/*.c)) \
	$(B)/bench/engines
# The engines that are measured against, those that are installed.
PEERS := sqlite3:sqlite3.h lmdb:lmdb.h rocksdb:rocksdb/c.h leveldb:leveldb/c.h \
	wiredtiger:wiredtiger.h tkrzw:tkrzw_langc.h
PEER_LIBS = $(foreach p,$(PEERS),$(if $(wildcard \
	/usr/include/$(lastword $(subst :, ,$p))),-l$(firstword $(subst :, ,$p))))

SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=all \
	-fno-omit-frame-pointer
# As many jobs as processors, unless the user has said how many.
SUBMAKE = $(MAKE) --no-print-directory \
	$(if $(findstring -j,$(MAKEFLAGS)),,-j$(shell nproc))

.PHONY: all programs libs tests bench run test asan tsan tidy lint graph format \
	fuzz fuzzer fuzz-targets coverage \
	conformance deps deps-test everything check-long check-big valgrind \
	test-the-tests clean
.DELETE_ON_ERROR:
.SECONDARY:

all: deps
	@+$(SUBMAKE) programs

programs: $(B)/sx_server $(B)/persist libs

libs: $(B)/libpersist.a $(B)/libsx.a

tests: programs $(EXAMPLES) $(UNIT) $(CRASH) $(BIG) $(FORMAT) $(RECORDER) \
	$(FAILING_MALLOC) fuzz-targets $(B)/sx_run $(B)/bench/host_bench

deps:
	@scripts/deps build

# Short lines for people; make V=1 shows the commands.
ifndef V
.SILENT:
endif

$(B)/%.o: %.c
	@mkdir -p $(@D)
	@echo "cc $<"
	$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

# Checksums in wide vectors; hash.c asks the processor before it calls them.
ifneq ($(findstring x86_64,$(shell $(CC) -dumpmachine 2>/dev/null)),)
$(B)/src/base/hash_avx2.o: ALL_CFLAGS += -mavx2
endif

$(LIBPERSIST): $(PERSIST_OBJ)
$(LIBSX): $(SX_OBJ)
$(LIBHOST): $(HOST_OBJ)
$(LIBTEST): $(TESTLIB_OBJ)
$(B)/internal/%.a:
	@mkdir -p $(@D)
	@rm -f $@
	ar rcs $@ $^

# For C programs: only the names of the public headers are to be seen, and
# those that both libraries hold may stand twice.
$(B)/libpersist.a: $(PERSIST_OBJ)
$(B)/libsx.a: $(SX_OBJ)
$(B)/lib%.a:
	@echo "lib $@"
	@rm -f $@
	ld -r -o $(@:.a=.o) $^
	objcopy --wildcard --keep-global-symbol='$**' \
		--keep-global-symbol='persist_status_*' \
		--keep-global-symbol='persist_version*' \
		--weaken-symbol='persist_status_*' \
		--weaken-symbol='persist_version*' $(@:.a=.o)
	ar rcs $@ $(@:.a=.o)

$(B)/examples/%: examples/c/%.c $(B)/libpersist.a $(B)/libsx.a
	@mkdir -p $(@D)
	@echo "link $@"
	$(CC) -std=c17 $(WARN) $(OPT) $(SAN) -Iinclude -o $@ $^ $(LIBS)

$(B)/sx_server: $(call objects,src/server/*.c) $(LIBHOST) $(LIBSX) $(LIBPERSIST)
	@echo "link $@"
	$(CC) $(ALL_CFLAGS) -o $@ $^ $(LIBS)

$(B)/persist: $(call objects,src/cli/*.c) $(LIBHOST) $(LIBSX) $(LIBPERSIST)
	@echo "link $@"
	$(CC) $(ALL_CFLAGS) -o $@ $^ $(LIBS)

# The language alone: runs .sx files, for its own test suite.
$(B)/sx_run: $(call objects,test/sx/*.c) $(LIBSX)
	@echo "link $@"
	$(CC) $(ALL_CFLAGS) -o $@ $^ $(LIBS)

$(B)/unit/%: $(B)/test/unit/%.o $(LIBTEST) $(LIBHOST) $(LIBSX) $(LIBPERSIST)
	@mkdir -p $(@D)
	@echo "link $@"
	$(CC) $(ALL_CFLAGS) -o $@ $^ -lcmocka $(LIBS)

$(B)/crash/%: $(B)/test/crash/%.o $(LIBTEST) $(LIBPERSIST)
	@mkdir -p $(@D)
	@echo "link $@"
	$(CC) $(ALL_CFLAGS) -o $@ $^ $(LIBS)

$(B)/big/%: $(B)/test/big/%.o $(LIBTEST) $(LIBPERSIST)
	@mkdir -p $(@D)
	@echo "link $@"
	$(CC) $(ALL_CFLAGS) -o $@ $^ $(LIBS)

$(B)/format/%: $(B)/test/format/%.o $(LIBPERSIST)
	@mkdir -p $(@D)
	@echo "link $@"
	$(CC) $(ALL_CFLAGS) -o $@ $^ $(LIBS)

# A fuzz target takes its main from the fuzzer, with FUZZER=1, or from replay.c.
# The tool's and the server's own main would be in the way.
FUZZ_OBJ := $(call objects,test/fuzz/lib/*.c) \
	$(call objects,$(filter-out %/main.c,$(wildcard src/server/*.c))) \
	$(call objects,$(filter-out %/main.c,$(wildcard src/cli/*.c))) \
	$(B)/fuzz/cli_main.o
ifdef FUZZER
FUZZ_OBJ := $(filter-out %/replay.o,$(FUZZ_OBJ))
FUZZ_LINK := -fsanitize=fuzzer
endif
FUZZ_LINK += -Wl,--wrap=hash_xxh3,--wrap=hash_xxh3_seed

fuzz-targets: $(FUZZ) $(B)/fuzz-seeds/made

# Inputs in the present format, in a folder for each target that reads files.
$(B)/fuzz-seeds/made: $(B)/fuzz/seeds
	@rm -rf $(@D)
	@mkdir -p $(@D)
	$< $(@D)
	@touch $@

# Its main is its own.
$(B)/fuzz/seeds: $(B)/test/fuzz/seeds/main.o \
		$(filter-out %/replay.o,$(FUZZ_OBJ)) $(LIBTEST) $(LIBHOST) \
		$(LIBSX) $(LIBPERSIST)
	@echo "link $@"
	$(CC) $(ALL_CFLAGS) $(filter-out -fsanitize=fuzzer,$(FUZZ_LINK)) -o $@ \
		$^ $(LIBS)

$(B)/fuzz/cli_main.o: src/cli/main.c
	@mkdir -p $(@D)
	@echo "cc $<"
	$(CC) $(ALL_CFLAGS) -Wno-missing-prototypes -Dmain=cli_main -MMD -MP \
		-c -o $@ $<

$(B)/fuzz/%: $(B)/test/fuzz/%.o $(FUZZ_OBJ) $(LIBTEST) $(LIBHOST) $(LIBSX) \
		$(LIBPERSIST)
	@mkdir -p $(@D)
	@echo "link $@"
	$(CC) $(ALL_CFLAGS) $(FUZZ_LINK) -o $@ $^ $(LIBS)

$(B)/disk/recorder: test/disk/recorder.c
	@mkdir -p $(@D)
	@echo "link $@"
	$(CC) -std=c17 -D_GNU_SOURCE $(WARN) $(OPT) -isystem /usr/include/fuse3 \
		-o $@ $< -lfuse3 -pthread

$(B)/memory/preload.so: test/memory/preload.c test/lib/failing_malloc.h
	@mkdir -p $(@D)
	@echo "link $@"
	$(CC) $(ALL_CFLAGS) -fPIC -shared -o $@ $<

$(B)/bench/%: $(B)/bench/%.o $(LIBHOST) $(LIBSX) $(LIBPERSIST)
	@mkdir -p $(@D)
	@echo "link $@"
	$(CC) $(ALL_CFLAGS) -o $@ $^ $(LIBS)

$(B)/bench/engines: $(call objects,bench/peers/*.c) $(LIBPERSIST)
	@mkdir -p $(@D)
	@echo "link $@"
	$(CC) $(ALL_CFLAGS) -o $@ $^ $(PEER_LIBS) $(LIBS)

# The same with a collection at every step of the machine.
.PHONY: $(B)/stress/sx_run
$(B)/stress/sx_run:
	@+$(SUBMAKE) B=$(B)/stress CFLAGS="$(CFLAGS) -DSX_GC_STRESS" \
		$(B)/stress/sx_run

everything: tests $(BENCH)

deps-test:
	@scripts/deps test

run: all
	@scripts/demo $(B)/sx_server

test: deps-test
	@+$(SUBMAKE) tests $(B)/stress/sx_run
	@test/run -B $(B)

# The quick suite again, or some PARTS of it, with the address and undefined
# behaviour sanitizers.
asan: deps-test
	@+$(SUBMAKE) B=$(B)/asan SAN="$(SANITIZE)" OPT="-O1 -g" \
		tests $(if $(PARTS),,$(B)/asan/stress/sx_run)
	@test/run -B $(B)/asan --sanitized $(PARTS)

# The fuzz targets, SECONDS for all of them together.
fuzz: fuzzer
	@scripts/fuzz $(B)/fuzzer --seconds $(SECONDS)

fuzzer:
	@scripts/deps fuzz
	@+$(SUBMAKE) B=$(B)/fuzzer CC=clang FUZZER=1 OPT="-O1 -g" \
		SAN="-fsanitize=fuzzer-no-link $(SANITIZE)" fuzz-targets

# Lines and branches of the store that the quick tests reach; SECONDS for each
# of the crash programs. Without optimization a branch is one of the source.
coverage: SECONDS = 30
coverage:
	@scripts/deps coverage
	@+$(SUBMAKE) B=$(B)/coverage CC=gcc OPT="-O0 -g" \
		SAN="--coverage -fprofile-update=atomic" tests
	@scripts/coverage $(B)/coverage $(SECONDS)

# Races: the parts that use threads and the server, with the thread sanitizer.
tsan: deps-test
	@+$(SUBMAKE) B=$(B)/tsan SAN=-fsanitize=thread OPT="-O1 -g" tests
	@test/run -B $(B)/tsan --sanitized unit acceptance kill

# What clang-tidy and cppcheck say of the C files; again only of those that have
# changed.
lint: deps-test
	@tools/lint.py --stamps $(B)/lint

tidy: deps-test
	@tools/tidy.py
	@test/crash/bugs.py --list >/dev/null

# What the folders of src include of each other.
graph:
	@tools/tidy.py --graph

format: deps-test
	@clang-format -i $$(git ls-files '*.c' '*.h')

conformance: programs
	@test/conformance.py --server $(B)/sx_server

# The long part of the tests: each for its share of about BUDGET seconds, which
# count from when all is built.
check-long: deps-test fuzzer
	@scripts/deps valgrind
	@+$(SUBMAKE) tests
	@scripts/check-long $(B) $(BUDGET)

# A store of 100,000,000 events, half an hour or more; check-long makes a
# smaller one.
check-big: deps-test
	@+$(SUBMAKE) tests
	@$(B)/big/big_store --full

# Some unit programs and a life of a store under memcheck.
valgrind: deps-test
	@scripts/deps valgrind
	@+$(SUBMAKE) tests
	@scripts/valgrind $(B)

# Bugs put into copies of the tree: each must be found by its test. PART=1/2:
# every second of them.
test-the-tests: deps-test $(FAILING_MALLOC)
	@test/crash/bugs.py -B $(B) --part $(or $(PART),1/1)

# QUICK=1: small and once, to see that all works.
bench:
	@scripts/deps bench
	@+$(SUBMAKE) programs $(BENCH)
	@scripts/bench $(B) $(if $(QUICK),--quick)

clean:
	rm -rf $(B)

-include $(shell find $(B) -name '*.d' 2>/dev/null)
