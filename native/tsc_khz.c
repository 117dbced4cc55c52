/*
 * Prints the frequency of this machine's time stamp counter in kHz. Under emulation a guest reads the same counter, but
 * measures its frequency against emulated timers, and wrongly when the host is busy. Here both clocks are read side by
 * side, so that a pause costs a try and no accuracy.
 */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <time.h>
#include <x86intrin.h>

enum { TRIES = 100, SPAN_NS = 100 * 1000 * 1000 };

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* The closest of some pairs. */
static void read_both(uint64_t *ticks, uint64_t *ns)
{
	uint64_t best = UINT64_MAX;

	for (int i = 0; i < TRIES; i++) {
		uint64_t before = __rdtsc();
		uint64_t middle = now_ns();
		uint64_t after = __rdtsc();

		if (after - before < best) {
			best = after - before;
			*ticks = before + best / 2;
			*ns = middle;
		}
	}
}

int main(void)
{
	uint64_t ticks[2] = { 0 }, ns[2] = { 0 };
	struct timespec span = { 0, SPAN_NS };

	read_both(&ticks[0], &ns[0]);
	nanosleep(&span, NULL);
	read_both(&ticks[1], &ns[1]);
	printf("%.0f\n", (double)(ticks[1] - ticks[0]) * 1e6 / (double)(ns[1] - ns[0]));
	return 0;
}
