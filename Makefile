# healbus: one flat Makefile. `make help` lists what it can do.
# B is the build directory; SAN adds sanitizers (make asan, make tsan); CC may be gcc or clang.

VERSION := 0.1.0
B ?= build
CC = gcc
SAN ?=
PREFIX ?= /usr/local
DESTDIR ?=
T ?= 60
.DEFAULT_GOAL := all

WARN := -Wall -Wextra -Werror -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wformat=2 \
	-Wwrite-strings -fno-common
HARDEN := -fstack-protector-strong -fPIE -ftrivial-auto-var-init=zero
ifeq ($(SAN),)
HARDEN += -D_FORTIFY_SOURCE=3
endif
CFLAGS += -std=gnu17 -O2 -g $(WARN) $(HARDEN) $(SAN) -I. -I$(B) -DHEALBUS_VERSION='"$(VERSION)"'
LDFLAGS += -pie -Wl,-z,relro,-z,now -Wl,--as-needed $(SAN)
LDLIBS := -lnats -lprotobuf-c -llmdb -lmicrohttpd -lfyaml -ljq -ljansson -lcurl -lcrypto -lpcre2-8 -lseccomp \
	-lpthread -lm

# ---- sources, every one by name ------------------------------------------------------------------------
COMMON := err mem buf clock id yaml log config secret store expr matcher breaker metrics http_server http_client \
	topic wire wire_json wire_sign bus bus_pull bus_admin lease fold stage
MONITOR :=
REASONER :=
EXECUTOR :=
NOTIFIER :=
CTL :=

UNIT_COMMON :=
UNIT_MONITOR :=
UNIT_REASONER :=
UNIT_EXECUTOR :=
UNIT_NOTIFIER :=
FUZZ :=

# ---- programs ------------------------------------------------------------------------------------------
STAGES := monitor reasoner executor notifier
PROGRAMS := $(STAGES:%=$(B)/healbus-%) $(B)/healctl

all: $(PROGRAMS)

PROTO_H := $(B)/proto/healbus.pb-c.h
COMMON_O := $(COMMON:%=$(B)/common/%.o) $(B)/proto/healbus.pb-c.o
MONITOR_O := $(MONITOR:%=$(B)/monitor/%.o)
REASONER_O := $(REASONER:%=$(B)/reasoner/%.o)
EXECUTOR_O := $(EXECUTOR:%=$(B)/executor/%.o)
NOTIFIER_O := $(NOTIFIER:%=$(B)/notifier/%.o)
CTL_O := $(CTL:%=$(B)/notifier/ctl/%.o)

$(B)/proto/healbus.pb-c.c $(PROTO_H) &: proto/healbus.proto
	@mkdir -p $(B)
	protoc-c --c_out=$(B) $<

$(B)/%.o: %.c $(PROTO_H)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -MMD -MP -c -o $@ $<

$(B)/proto/healbus.pb-c.o: $(B)/proto/healbus.pb-c.c
	$(CC) $(CFLAGS) -MMD -MP -c -o $@ $<

# Archives, so that each program and each test links only what it calls.
$(B)/common.a: $(COMMON_O)
$(B)/monitor.a: $(MONITOR_O)
$(B)/reasoner.a: $(REASONER_O)
$(B)/executor.a: $(EXECUTOR_O)
$(B)/notifier.a: $(NOTIFIER_O)
$(B)/%.a:
	@rm -f $@
	ar rcs $@ $^

$(STAGES:%=$(B)/healbus-%): $(B)/healbus-%: $(B)/%/main.o $(B)/%.a $(B)/common.a
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(B)/healctl: $(CTL_O) $(B)/common.a
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)

# ---- tests ---------------------------------------------------------------------------------------------
UNIT_COMMON_T := $(UNIT_COMMON:%=$(B)/tests/unit/test_%)
UNIT_STAGE_T := $(foreach s,monitor reasoner executor notifier,\
	$(foreach t,$(UNIT_$(shell echo $(s) | tr a-z A-Z)),$(B)/tests/unit/$(s)/test_$(t)))
UNIT_T := $(UNIT_COMMON_T) $(UNIT_STAGE_T)

$(UNIT_COMMON_T): $(B)/tests/unit/test_%: $(B)/tests/unit/test_%.o $(B)/common.a
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS) -lcmocka
.SECONDEXPANSION:
$(UNIT_STAGE_T): $(B)/tests/unit/%: $(B)/tests/unit/%.o $$(B)/$$(patsubst %/,%,$$(dir %)).a $(B)/common.a
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS) -lcmocka

unit: $(UNIT_T)
	tests/run --build $(B) unit

test: deps-check all $(UNIT_T)
	tests/run --build $(B) all

help:
	@sed -n 's/^## //p' Makefile

clean:
	rm -rf build

.PHONY: all unit test help clean deps deps-check asan tsan fuzz lint layers format cover bench fault demo install
-include $(shell find $(B) -name '*.d' 2>/dev/null)
