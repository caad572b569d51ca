/*
 * One effect's workers: stage_effect.c takes messages and has them handled, stage_effect_settle.c
 * says what becomes of each. Only these include this.
 */
#ifndef COMMON_STAGE_EFFECT_PRIVATE_H
#define COMMON_STAGE_EFFECT_PRIVATE_H

#include "common/stage_private.h"
#include "common/taken.h"

struct effect_worker {
	struct effect_pool *pool;
	pthread_t thread;
	bool running;
	struct stage_pulse *pulse;
	void *state;
	struct bus_puller *puller;
	struct arena arena;
	bool many;            /* acks under way together may wait for each other */
	pthread_mutex_t lock; /* guards what follows: the beat reads it */
	struct effect_job *jobs;
	size_t n;
	int64_t beat_at_mono_ms;
};

struct effect_pool {
	struct stage *stage;
	const struct effect_def *def;
	const struct topic_consumer *consumer;
	struct effect_worker *workers;
	size_t n_workers;
	unsigned batch_max;
	struct taken *taken; /* NULL: not noted */
	pthread_mutex_t lock;
	uint64_t checked_epoch; /* the consumer is as it must be on this connection */
	atomic_int last_error;
	pthread_t beat;            /* of the first pool only */
	struct stage_pulse *pulse; /* its */
	bool beating;
};

/* Ack, nak or dead letter, as the job's verdict says; the delivery is gone after it. */
void effect_settle(struct effect_worker *w, struct effect_job *job);
/* A letter to dead.<stage>, then term; without the letter it stays. Not yet let go. */
void effect_reject(struct effect_worker *w, struct effect_job *job);
void effect_let_go(struct effect_worker *w, struct effect_job *job);

#endif
