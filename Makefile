# evtrace: `make` builds, `make help` lists the rest. V=1 shows commands, SAN=1 builds with ASan and UBSan.

CLANG     ?= clang
CC        := $(CLANG)
BPFTOOL   ?= $(firstword $(wildcard /usr/sbin/bpftool) bpftool)
PYTHON    ?= /usr/bin/python3
PREFIX    ?= /usr/local
V         ?= 0
SAN       ?= 0

ARCH      := $(shell uname -m | sed 's/x86_64/x86/; s/aarch64/arm64/')
VERSION   := $(shell cat VERSION)

ifeq ($(SAN),1)
O         ?= .output/san
SAN_FLAGS := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
else
O         ?= .output
endif
ifeq ($(V),1)
Q   :=
msg  =
else
Q   := @
msg  = @printf '  %-8s %s\n' '$(1)' '$(2)';
MAKEFLAGS += --no-print-directory
endif

CFLAGS    ?= -O2 -g
# Includes point left only (tools/check-includes), so one include root is enough.
ALL_CFLAGS := -std=gnu11 -D_GNU_SOURCE -Wall -Wextra -Werror -DEVTRACE_VERSION='"$(VERSION)"' -I. -Iuser -I$(O) \
	      $(SAN_FLAGS) $(CFLAGS)
LIBS      := -lbpf -lelf -lz -lsqlite3 -lzstd -llz4 -lsnappy -lexpat -lm -ldl -lpthread

SRCS      := $(wildcard user/*.c user/*/*.c)
OBJS      := $(SRCS:%.c=$(O)/%.o)
LIB       := $(O)/libevtrace.a
BPF_SRCS  := $(wildcard bpf/*.bpf.c)
BPF_OBJS  := $(BPF_SRCS:%.c=$(O)/%.o)
SKEL      := $(O)/evtrace.skel.h
# A test is a C file with a main(): exit code 0 passed, 77 skipped; it prints its cases (tests/test.h).
TEST_SRCS := $(wildcard tests/unit/*.c tests/proto/*/*.c tests/pipeline/*.c)
TESTS     := $(TEST_SRCS:%.c=$(O)/%)
# Workloads that tests run as traced programs, and fuzz targets.
WORK_SRCS := $(wildcard tests/bpf/*.c tests/lab/*.c tests/bench/*.c)
WORK      := $(WORK_SRCS:%.c=$(O)/%)
# Ordinary programs of the lab: clients that must know nothing of evtrace, so they are not linked with it but with what
# their first comment says after "Links:".
CLIENT_SRCS := $(wildcard tests/lab/*/*.c)
CLIENTS   := $(CLIENT_SRCS:%.c=$(O)/%)
FUZZ_SRCS := $(wildcard tests/fuzz/*.c)
FUZZ      := $(FUZZ_SRCS:%.c=$(O)/%)
# What they run is compiled for fuzzing: all that reads bytes from outside, but for the kernel's.
FUZZ_LIB  := $(filter-out $(addprefix user/capture/,live.c backend.c check.c scope.c), \
	       $(wildcard $(addsuffix /*.c,$(addprefix user/,base capture stream proto extract))))

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: all tests workloads fuzz-targets setup demo test bench fuzz check format install clean help

all: $(O)/evtrace ## build evtrace (.output/evtrace)

$(O)/evtrace: $(O)/user/main.o $(LIB)
	$(call msg,LINK,$@)
	$(Q)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $(O)/user/main.o $(LIB) $(LIBS)

$(LIB): $(filter-out $(O)/user/main.o,$(OBJS))
	$(call msg,AR,$@)
	$(Q)rm -f $@ && ar rcs $@ $^

$(O)/user/%.o: user/%.c
	$(call msg,CC,$<)
	$(Q)mkdir -p $(@D) && $(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

# SQL that is compiled in: schema.sql -> schema.sql.h with one string literal a line.
$(O)/%.sql.h: user/%.sql
	$(call msg,GEN,$@)
	$(Q)mkdir -p $(@D) && sed 's/\\/\\\\/g; s/"/\\"/g; s/^.*$$/"&\\n"/' $< >$@

# (an explicit target: a pattern rule without a recipe would cancel, not add)
$(O)/user/store/catalogue.o: $(patsubst user/%,$(O)/%.h,$(wildcard user/store/*.sql))
$(O)/user/capture/live.o: $(SKEL)

# --- kernel side: one object a back end, linked to one skeleton ---

$(O)/bpf/%.bpf.o: bpf/%.bpf.c $(wildcard bpf/*.h) vmlinux/$(ARCH)/vmlinux.h
	$(call msg,BPF,$<)
	$(Q)mkdir -p $(@D) && $(CLANG) -g -O2 -Wall -Wextra -Werror -target bpf -mcpu=v3 -D__bpf__ -D__TARGET_ARCH_$(ARCH) \
		-I. -Ivmlinux/$(ARCH) -c -o $@ $<

$(O)/evtrace.bpf.o: $(BPF_OBJS)
	$(call msg,GEN-LINK,$@)
	$(Q)$(BPFTOOL) gen object $@ $(BPF_OBJS)

$(SKEL): $(O)/evtrace.bpf.o
	$(call msg,GEN-SKEL,$@)
	$(Q)$(BPFTOOL) gen skeleton $< name evtrace_bpf >$@

# --- tests ---

tests: $(TESTS) ## build the unit tests
workloads: $(WORK) $(CLIENTS)
fuzz-targets: $(FUZZ)

$(TESTS) $(WORK): $(O)/%: %.c $(LIB)
	$(call msg,TEST,$@)
	$(Q)mkdir -p $(@D) && $(CC) $(ALL_CFLAGS) -Itests -MMD -MP -MF $@.d -o $@ $< $(LIB) $(LIBS) $(LDLIBS_$(notdir $@))

$(CLIENTS): $(O)/%: %.c
	$(call msg,CLIENT,$@)
	$(Q)mkdir -p $(@D) && $(CC) -std=gnu11 -D_GNU_SOURCE -Wall -Wextra -Werror $(CFLAGS) -MMD -MP -MF $@.d -o $@ $< \
		$$(sed -n 's/^ \* Links: //p' $<) -lpthread

$(FUZZ): $(O)/%: %.c $(SRCS) $(wildcard tests/fuzz/*.h) tests/proto/feed.h
	$(call msg,FUZZ,$@)
	$(Q)mkdir -p $(@D) && $(CC) -std=gnu11 -D_GNU_SOURCE -g -O1 -Wall -Wextra -Werror -I. -Iuser -Itests \
		-fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined -o $@ $< \
		$(FUZZ_LIB) -lz -lzstd -llz4 -lsnappy -lexpat -lm

setup: ## install what building and testing need (Debian packages, by name)
	$(Q)tools/setup test

demo: ## build, run the shop on a private RabbitMQ, ask evtrace about it
	$(Q)tools/setup
	$(Q)$(MAKE) all workloads
	$(Q)tests/lab/demo

test: ## build everything and run every test; ends with "N passed, N failed"
	$(Q)tools/setup test
	$(Q)tests/run

bench: ## each decoder beside tshark; throughput with and without tracing, ns in the kernel, CPU per message
	$(Q)tools/setup
	$(Q)$(MAKE) all workloads
	$(Q)tests/bench/decoders
	$(Q)tests/bench/run

fuzz: fuzz-targets ## run every fuzz target, SECONDS=60 each
	$(Q)tests/fuzz/run $(or $(SECONDS),60)

check: ## structure, format, man pages: what tests/run checks without building
	$(Q)tools/check

format: ## apply clang-format
	$(Q)clang-format -i $(wildcard user/*.[ch] user/*/*.[ch] bpf/*.[ch] tests/*.[ch] tests/*/*.[ch] tests/*/*/*.[ch])

install: all ## copy the program, man pages and completion below PREFIX (/usr/local)
	install -D -m 755 $(O)/evtrace $(DESTDIR)$(PREFIX)/bin/evtrace
	for m in tools/man/*.[1-8]; do install -D -m 644 $$m $(DESTDIR)$(PREFIX)/share/man/man$${m##*.}/$${m##*/}; done
	install -D -m 644 tools/completion.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/evtrace

clean: ## remove what was built
	rm -rf .output

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 18

-include $(OBJS:.o=.d) $(TESTS:=.d) $(WORK:=.d) $(CLIENTS:=.d)
