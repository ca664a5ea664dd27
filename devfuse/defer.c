/* Deferred work. */
#include "devfuse/defer.h"

#include <pthread.h>
#include <stdlib.h>

#include "sentry/base/log.h"

static void (*spawn_hook)(void (*fn)(void *), void *arg);

struct job {
	void (*fn)(void *);
	void *arg;
};

void fuse_defer_set_spawn(void (*spawn)(void (*fn)(void *), void *arg))
{
	spawn_hook = spawn;
}

static void *job_main(void *arg)
{
	struct job job = *(struct job *)arg;

	free(arg);
	job.fn(job.arg);
	return NULL;
}

void fuse_defer(void (*fn)(void *), void *arg)
{
	struct job *job;
	pthread_t thread;

	if (spawn_hook) {
		spawn_hook(fn, arg);
		return;
	}
	job = malloc(sizeof(*job));
	if (job) {
		*job = (struct job){fn, arg};
		if (pthread_create(&thread, NULL, job_main, job) == 0) {
			pthread_detach(thread);
			return;
		}
		free(job);
	}
	fb_log(LOG_ERROR, "fuse: no thread for deferred work");
}
