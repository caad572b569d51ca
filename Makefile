# healbus: one flat Makefile. `make help` lists what it can do.
# B is the build directory; SAN adds sanitizers (make asan, make tsan); CC may be gcc or clang.

VERSION := 0.1.0
B ?= build
CC = gcc
SAN ?=
PREFIX ?= /usr/local
DESTDIR ?=
T ?= 60
# V=1 shows whole commands.
V ?=
Q := $(if $(V),,@)
say = @$(if $(V),:,printf '  %-5s %s\n' $(1) $(2))
.DEFAULT_GOAL := all

WARN := -Wall -Wextra -Werror -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wformat=2 \
	-Wwrite-strings -fno-common
HARDEN := -fstack-protector-strong -fPIE -ftrivial-auto-var-init=zero
ifeq ($(SAN),)
HARDEN += -D_FORTIFY_SOURCE=3
endif
ifneq ($(findstring clang,$(CC)),)
# clang before 16 will not take the option above without this one; later ones ignore it.
HARDEN += -enable-trivial-auto-var-init-zero-knowing-it-will-be-removed-from-clang
endif
CFLAGS += -std=gnu17 -O2 -g $(WARN) $(HARDEN) $(SAN) -I. -I$(B) -DHEALBUS_VERSION='"$(VERSION)"'
LDFLAGS += -pie -Wl,-z,relro,-z,now -Wl,--as-needed $(SAN)
LDLIBS := -lnats -lprotobuf-c -llmdb -lmicrohttpd -lfyaml -ljq -ljansson -lcurl -lssl -lcrypto -lpcre2-8 -lz -lseccomp \
	-lpthread -lm

# ---- sources -------------------------------------------------------------------------------------------
# A file that is there is built. Each stage is its main.c and an archive of the rest; a folder that holds a program of
# its own (PARTS) is not part of its stage.
STAGES := monitor reasoner executor notifier
PARTS := notifier/ctl executor/broker
objects = $(patsubst %.c,$(B)/%.o,$(sort $(foreach d,$(1),$(wildcard $(d)/*.c))))
rooms = $(filter-out $(PARTS),$(patsubst %/,%,$(wildcard $(1)/*/)))
COMMON_O := $(call objects,common) $(B)/proto/healbus.pb-c.o
$(foreach s,$(STAGES),$(eval $(s)_O := $(filter-out $(B)/$(s)/main.o,$(call objects,$(s) $(call rooms,$(s))))))
CTL_O := $(call objects,notifier/ctl $(call rooms,notifier/ctl))
BROKER_O := $(filter-out %/main.o,$(call objects,executor/broker))
FUZZ := $(patsubst tests/fuzz/fuzz_%.c,%,$(sort $(wildcard tests/fuzz/fuzz_*.c)))

# ---- programs ------------------------------------------------------------------------------------------
PROGRAMS := $(STAGES:%=$(B)/healbus-%) $(B)/healbus-docker-broker $(B)/healctl

all: $(PROGRAMS)

PROTO_H := $(B)/proto/healbus.pb-c.h
$(B)/proto/healbus.pb-c.c $(PROTO_H) &: proto/healbus.proto
	@mkdir -p $(B)
	$(call say,PROTO,$<)
	$(Q)protoc-c --c_out=$(B) $<

$(B)/%.o: %.c $(PROTO_H)
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(CFLAGS) -MMD -MP -c -o $@ $<

$(B)/proto/healbus.pb-c.o: $(B)/proto/healbus.pb-c.c
	$(call say,CC,$<)
	$(Q)$(CC) $(CFLAGS) -MMD -MP -c -o $@ $<

# Archives, so that each program and each test links only what it calls. Members are added, not replaced: two folders
# of a stage may have files of one name.
$(B)/common.a: $(COMMON_O)
$(foreach s,$(STAGES),$(eval $(B)/$(s).a: $($(s)_O)))
$(B)/broker.a: $(BROKER_O)
$(B)/%.a:
	$(call say,AR,$@)
	$(Q)rm -f $@ && ar qcs $@ $^

$(STAGES:%=$(B)/healbus-%): $(B)/healbus-%: $(B)/%/main.o $(B)/%.a $(B)/common.a
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(B)/healbus-docker-broker: $(B)/executor/broker/main.o $(B)/broker.a $(B)/common.a
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(B)/healctl: $(CTL_O) $(B)/monitor.a $(B)/reasoner.a $(B)/common.a
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)

# ---- tests ---------------------------------------------------------------------------------------------
UNIT_COMMON_T := $(patsubst %.c,$(B)/%,$(wildcard tests/unit/test_*.c))
UNIT_STAGE_T := $(patsubst %.c,$(B)/%,$(wildcard $(patsubst %,tests/unit/%/test_*.c,$(STAGES) broker)))
UNIT_T := $(UNIT_COMMON_T) $(UNIT_STAGE_T)

$(UNIT_COMMON_T): $(B)/tests/unit/test_%: $(B)/tests/unit/test_%.o $(B)/common.a
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $(filter %.o,$^) $(filter %.a,$^) $(LDLIBS) -lcmocka
.SECONDEXPANSION:
$(UNIT_STAGE_T): $(B)/tests/unit/%: $(B)/tests/unit/%.o $$(B)/$$(firstword $$(subst /, ,$$*)).a $(B)/common.a
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS) -lcmocka

# Helpers of integration tests, in C.
INTEGRATION_C := $(basename $(notdir $(wildcard tests/integration/*.c)))
INTEGRATION_T := $(INTEGRATION_C:%=$(B)/tests/integration/%)
$(INTEGRATION_T): $(B)/tests/integration/%: $(B)/tests/integration/%.o $(B)/common.a
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $(filter %.o,$^) $(filter-out %/common.a,$(filter %.a,$^)) $(B)/common.a $(LDLIBS) -lcmocka
$(B)/tests/integration/modelask $(B)/tests/integration/contextask: $(B)/reasoner.a
$(B)/tests/integration/routeask: $(B)/notifier.a
$(B)/tests/integration/sandboxctl $(B)/tests/integration/placectl: $(B)/executor.a
# A fold, a script and a server for tests, shared by several.
$(B)/tests/unit/test_fold $(B)/tests/unit/test_fold_replay: $(B)/tests/toy/toy.o $(B)/tests/toy/script.o
$(B)/tests/integration/toystage: $(B)/tests/toy/toy.o
$(B)/tests/integration/bustest $(B)/tests/integration/leasetest: $(B)/tests/toy/server.o

# The action that the fault tests let healbus run: its own code, static, so that it runs in any sandbox.
FAULT_T := $(B)/tests/fault/act $(B)/tests/fault/oomshim.so $(STAGES:%=$(B)/fault/healbus-%)
# Makes allocations of any program fail (LD_PRELOAD).
$(B)/tests/fault/oomshim.so: tests/fault/oomshim.c
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) -std=gnu17 -O2 -g $(WARN) -shared -fPIC -o $@ $<
$(B)/tests/fault/act: tests/fault/act.c
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) -std=gnu17 -O2 -g $(WARN) -static -o $@ $<

## make            build the four stages and healctl into build/
# Programs of the benchmark. Those that measure from outside link nothing of healbus. The action is static, as small
# as can be; feed and growth speak the wire format, and growth drives the monitor's core.
BENCH := gen load act floor pull launch svc restart
BENCH_IN := feed growth
BENCH_T := $(BENCH:%=$(B)/tests/bench/%) $(BENCH_IN:%=$(B)/tests/bench/%)
$(B)/tests/bench/act: BENCH_LD := $(if $(SAN),,-static -no-pie)
$(B)/tests/bench/floor: $(B)/tests/bench/scan.o
$(BENCH_IN:%=$(B)/tests/bench/%): $(B)/tests/bench/event.o $(B)/monitor.a $(B)/common.a
$(BENCH_T): $(B)/tests/bench/%: $(B)/tests/bench/%.o
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $(BENCH_LD) -o $@ $(filter %.o,$^) $(filter %/monitor.a,$^) $(filter %/common.a,$^) \
		$(if $(BENCH_LD),,$(LDLIBS))

# The stages with their failpoints: what has none is linked from the usual archives.
percent := %
FAILPOINTS := $(shell grep -l 'FAILPOINT."' common/*.c $(STAGES:%=%/*.c))
FAILPOINTS_O := $(FAILPOINTS:%.c=$(B)/fault/%.o)
$(FAILPOINTS_O): $(B)/fault/%.o: %.c $(PROTO_H)
	@mkdir -p $(@D)
	$(call say,CC,"$< (failpoints)")
	$(Q)$(CC) $(CFLAGS) -DHEALBUS_FAILPOINTS -MMD -MP -c -o $@ $<
$(STAGES:%=$(B)/fault/healbus-%): $(B)/fault/healbus-%: $(B)/%/main.o \
		$$(filter $(B)/fault/common/$$(percent) $(B)/fault/$$*/$$(percent),$$(FAILPOINTS_O)) $(B)/%.a $(B)/common.a
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)

## make demo-ci    a red build becomes a green pull request: a real repository, a double of GitHub, a scripted model
demo-ci: deps-demo-ci
	@echo "Building (half a minute the first time)..."
	@$(MAKE) --no-print-directory B=$(B) all >/dev/null
	@deploy/demo/ci --build $(B)

## make demo       break a real service and watch it being healed (ALERTMANAGER=1: told by a real Alertmanager)
demo: deps-demo
	@echo "Building (half a minute the first time)..."
	@$(MAKE) --no-print-directory B=$(B) all >/dev/null
	@deploy/demo/run --build $(B) $(if $(ALERTMANAGER),--alertmanager)

## make compose-test  the stack in a real Docker Engine (root: starts one where none runs)
compose-test: all
	@HEALBUS_TEST_ENGINE=start tests/run --build $(B) tests/stack/images.py tests/stack/compose.py tests/stack/nodes.py; status=$$?; \
		tests/stack/engine.sh stop; exit $$status

## make test       install what is missing, build, run all tests
test: deps-test
	-@command -v npm >/dev/null && $(MAKE) --no-print-directory B=$(B) peers
	@$(MAKE) --no-print-directory B=$(B) tests
tests: all $(UNIT_T) $(INTEGRATION_T) $(BENCH_T) $(FAULT_T) $(FUZZ:%=$(B)/tests/fuzz/replay_%) $(B)/tests/sim/sim
	tests/run --build $(B) all

## make peers      real programs from npm that tests talk to; without them those tests say skipped
peers: $(addprefix $(B)/peers/,$(addsuffix /node_modules/.package-lock.json,chroma mcp browser slack))
$(B)/peers/chroma/node_modules/.package-lock.json: tests/peers/chroma/package-lock.json
	@mkdir -p $(B)/peers/chroma
	cp tests/peers/chroma/*.json $(B)/peers/chroma/
	# Not ci: it wants the bindings of all platforms in the lock file.
	cd $(B)/peers/chroma && npm install --no-audit --no-fund --loglevel=error
$(B)/peers/mcp/node_modules/.package-lock.json $(B)/peers/browser/node_modules/.package-lock.json \
		$(B)/peers/slack/node_modules/.package-lock.json: \
		$(B)/peers/%/node_modules/.package-lock.json: tests/peers/%/package-lock.json
	@mkdir -p $(B)/peers/$*
	cp tests/peers/$*/*.json $(B)/peers/$*/
	cd $(B)/peers/$* && npm ci --no-audit --no-fund --loglevel=error

## make unit       the tests that need no network and no server
unit: $(UNIT_T) $(B)/tests/sim/sim
	tests/run --build $(B) unit

## make sim        a million simulated schedules of crash, delay, duplicate, reorder (SCHEDULES, SEED)
# Each stage's fold becomes one object with no names of its own, since two folds may use the same ones. What the
# simulation defines itself (where programs run) comes first, and stays.
SIM_COMMON := main world task bus outlet kv store seams stages people judge
SIM_STAGE := monitor reasoner notifier executors
SIM_WRAP := store_open store_close store_commit store_put verify_key_load verify_key_free digest_equal decision_verify \
	id_random
SIM_KEEP := 'sim_*' 'executors_*' sandbox_level sandbox_level_name
$(SIM_STAGE:%=$(B)/tests/sim/%.whole.o): $(B)/tests/sim/%.whole.o: $(B)/tests/sim/%.o $$(B)/$$(patsubst executors,executor,$$*).a
	$(call say,LINK,$@)
	$(Q)$(CC) -r -nostdlib -Wl,-z,muldefs -o $@ $^ && objcopy --wildcard $(SIM_KEEP:%=--keep-global-symbol=%) $@
$(B)/tests/sim/sim: $(SIM_COMMON:%=$(B)/tests/sim/%.o) $(SIM_STAGE:%=$(B)/tests/sim/%.whole.o) $(B)/common.a
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $(SIM_WRAP:%=-Wl,--wrap=%) -o $@ $^ $(LDLIBS)
SCHEDULES ?= 1000000
sim: $(B)/tests/sim/sim
	$(B)/tests/sim/sim --schedules $(SCHEDULES) $(if $(SEED),--seed $(SEED))

## make asan       unit and integration tests under AddressSanitizer and UBSan;  make tsan: under ThreadSanitizer
asan: deps-test
	$(MAKE) B=$(B)/asan SAN="-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer" \
		all san-tests
# The libraries are not built with it: what LMDB does in its map, or libnats under its locks, would look like races.
tsan: deps-test deps-lint
	TSAN_OPTIONS=ignore_noninstrumented_modules=1 $(MAKE) B=$(B)/tsan CC=clang SAN="-fsanitize=thread" all san-tests
san-tests: $(UNIT_T) $(INTEGRATION_T) $(BENCH_T) $(FUZZ:%=$(B)/tests/fuzz/replay_%)
	tests/run --build $(B) unit fuzz integration

## make bench      against bare limits and peers; QUICK=1 in two minutes; LINES="ingest fold": only those
# A peer that cannot be installed is a skipped line.
LINES ?=
bench: deps-test all $(BENCH_T)
	-@deploy/deps.sh bench && $(MAKE) --no-print-directory B=$(B) $(B)/peers/node_modules/.package-lock.json
	tests/bench/run --build $(B) $(if $(QUICK),--quick) $(LINES)
$(B)/peers/node_modules/.package-lock.json: tests/bench/peers/package-lock.json
	@mkdir -p $(B)/peers
	cp tests/bench/peers/*.json $(B)/peers/
	cd $(B)/peers && npm ci --omit=optional --no-audit --no-fund --loglevel=error

## make scale      what an event and an incident cost as processes and nodes grow, and what more would need; QUICK=1
scale: all $(B)/tests/fault/act $(B)/tests/integration/busctl
	tests/bench/scale --build $(B) $(if $(QUICK),--quick)

## make profile LINE=ingest  where the time goes in a line of the benchmark, by process and function
LINE ?= ingest
profile: deps-test all $(BENCH_T)
	tests/bench/profile --build $(B) $(LINE)

## make hops       one alert on its way to its action: each message on the bus, when, and what it costs
hops: deps-test all $(BENCH_T)
	tests/bench/hops --build $(B)

## make fault      the faults' list, a kill at every named point, 20,000 alerts under kill -9 (SEEDS=10: ten times)
SEEDS ?= 1
fault: deps-test
	@$(MAKE) --no-print-directory B=$(B) fault-run
fault-run: all $(INTEGRATION_T) $(FAULT_T)
	tests/fault/run --build $(B) --seeds $(SEEDS)

## make upgrade-test  this release beside the coming and the one before, forward and back under load
upgrade-test: deps-test
	@$(MAKE) --no-print-directory B=$(B) upgrade-run
upgrade-run: all $(INTEGRATION_T) $(FAULT_T)
	HEALBUS_BUILD=$(abspath $(B)) tests/stack/upgrade.py --full

## make cluster-test  three nodes of the bus (nats-server 2.10): killed, frozen, without a majority, under load
cluster-test: deps-test
	@$(MAKE) --no-print-directory B=$(B) cluster-run
cluster-run: all $(INTEGRATION_T) $(FAULT_T)
	HEALBUS_BUILD=$(abspath $(B)) tests/stack/cluster.py --full

## make fuzz T=60  T seconds of libFuzzer for each target; the corpora stay in tests/fuzz/corpus
# Each target is linked twice: with libFuzzer, and with a main that replays its corpus for `make test`.
FUZZ_T := $(FUZZ:%=$(B)/tests/fuzz/fuzz_%)
REPLAY_T := $(FUZZ:%=$(B)/tests/fuzz/replay_%)
FUZZ_A := $(B)/monitor.a $(B)/reasoner.a $(B)/executor.a $(B)/notifier.a $(B)/broker.a $(B)/common.a
$(FUZZ_T): $(B)/tests/fuzz/fuzz_%: $(B)/tests/fuzz/fuzz_%.o $(FUZZ_A)
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -fsanitize=fuzzer -o $@ $^ $(LDLIBS)
$(REPLAY_T): $(B)/tests/fuzz/replay_%: $(B)/tests/fuzz/fuzz_%.o $(B)/tests/fuzz/replay.o $(FUZZ_A)
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)
fuzz: deps-lint
	$(MAKE) B=$(B)/fuzz CC=clang fuzz-run \
		SAN="-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined"
fuzz-run: $(FUZZ_T)
	tests/fuzz/run --seconds $(T) $(FUZZ_T)

## make lint       warnings of clang, gcc -fanalyzer, clang-tidy, cppcheck, shellcheck; format, layers
lint: deps-lint layers
	+WARN="$(WARN)" tests/lint/lint --build $(B)
## make layers     who may include whom
layers:
	tests/lint/layers
## make format     clang-format, in place
format:
	clang-format -i $(shell git ls-files '*.c' '*.h')

## make cover      line coverage of the unit and integration tests, into build/cover/
cover: deps-test deps-lint
	# Two tests fail here: children in the sandbox cannot write their counters, and say so in their output.
	-$(MAKE) B=$(B)/cover SAN="--coverage -fprofile-update=atomic" all san-tests
	tests/lint/cover --build $(B)/cover

## make man        the man pages, into build/man/
PAGES := healctl $(STAGES:%=healbus-%) healbus-docker-broker
man: $(PAGES:%=$(B)/man/%.1)
$(B)/man/%.1: $(B)/% $(B)/healctl
	@mkdir -p $(@D)
	$(call say,MAN,$@)
	$(Q)$(B)/healctl manual $* >$@.new && mv $@.new $@

## make install    programs, man pages, runbooks, tools, example configuration (PREFIX, DESTDIR)
install: all
	deploy/install.sh --build $(B) --prefix "$(PREFIX)" --destdir "$(DESTDIR)"

## make examples   write deploy/config/*.yaml anew from the option tables
examples: all
	for s in $(STAGES); do $(B)/healbus-$$s --example-config >deploy/config/$$s.yaml || exit 1; done
	$(B)/healbus-docker-broker --example-config >deploy/config/broker.yaml
	$(B)/healbus-monitor --example-config=bus >deploy/config/bus.yaml

## make deps       the Debian packages for building;  deps-test, deps-demo, deps-lint, deps-bench: for those
deps:
	deploy/deps.sh build
deps-test:
	@deploy/deps.sh test
deps-demo-ci:
	@deploy/deps.sh demo-ci
deps-demo:
	@deploy/deps.sh $(if $(ALERTMANAGER),alertmanager,demo)
deps-lint:
	@deploy/deps.sh lint
deps-bench:
	deploy/deps.sh bench
	$(MAKE) --no-print-directory B=$(B) $(B)/peers/node_modules/.package-lock.json

help:
	@sed -n 's/^## //p' Makefile

clean:
	rm -rf build

.PHONY: all peers unit test tests san-tests help clean deps deps-test deps-demo deps-demo-ci deps-lint deps-bench asan tsan fault fault-run upgrade-test upgrade-run cluster-test cluster-run fuzz fuzz-run lint \
	layers format cover sim bench scale profile hops compose-test demo demo-ci man install examples
-include $(shell find $(B) -name '*.d' 2>/dev/null)
