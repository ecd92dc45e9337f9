# No logic here: every target is one script, which says what it does.

.PHONY: help run stop test build bench peers crash fuzz

help:
	@sed -n 's/^## //p' Makefile

## make run      install what is missing, build, start the server, load the sample, print what to try
run:
	@scripts/run

## make stop     end that server
stop:
	@scripts/stop

## make test     install what is missing, run every check
test:
	@scripts/test

## make build    install what is missing, build the release binary
build:
	@scripts/build

## make bench    the canonical workload: how fast, at what recall
bench:
	@scripts/bench

## make peers    our index against other libraries at equal recall: ARGS='--sets minilm40k --peers hnswlib'
peers:
	@scripts/peers $(ARGS)

## make crash    kills and power losses while writing: MINUTES=20 SEED=1, totals are kept over calls
crash:
	@scripts/crash $(MINUTES) $(SEED)

## make fuzz     bytes from disk that no one wrote, given to every decoder: MINUTES=10 for each, TARGET=name for one
fuzz:
	@scripts/fuzz $(or $(MINUTES),10) $(TARGET)
