/* Load on a mount; see load.h. */
#include "tests/support/load.h"

#include <stdlib.h>
#include <unistd.h>

unsigned load_random(unsigned *seed, unsigned n)
{
	return (unsigned)rand_r(seed) % n;
}

unsigned long load_done(struct load *load)
{
	unsigned long done = 0;

	for (unsigned i = 0; i < load->clients; i++)
		done += atomic_load(&load->client[i].done);
	return done;
}

unsigned long load_rounds(int argc, char **argv, unsigned long usual)
{
	unsigned long factor = argc > 1 ? strtoul(argv[1], NULL, 10) : 1;

	return usual * (factor ? factor : 1);
}

static void set_waiter(struct load_client *client, struct waiter *waiter)
{
	pthread_mutex_lock(&client->load->lock);
	client->waiter = waiter;
	if (!waiter)
		client->load->working--;
	pthread_mutex_unlock(&client->load->lock);
}

static void *client_main(void *arg)
{
	struct load_client *client = arg;

	set_waiter(client, waiter_self());
	for (; client->done < client->load->rounds; client->done++) {
		waiter_reset(waiter_self()); /* a new system call */
		client->load->round(client);
	}
	set_waiter(client, NULL);
	waiter_reset(waiter_self());
	return NULL;
}

/* True while anybody works. */
static bool interrupt_one(struct load *load, unsigned *seed)
{
	bool working;

	pthread_mutex_lock(&load->lock);
	working = load->working > 0;
	if (load->kills < LOAD_UNDISTURBED) {
		struct waiter *waiter = load->client[load_random(seed, load->clients)].waiter;
		unsigned why = load_random(seed, 16) < load->kills ? WAITER_KILLED : WAITER_SIGNAL;

		if (waiter)
			waiter_interrupt(waiter, why);
	}
	pthread_mutex_unlock(&load->lock);
	return working;
}

void load_run(struct load *load)
{
	unsigned seed = 1;

	pthread_mutex_init(&load->lock, NULL);
	load->working = load->clients;
	for (unsigned i = 0; i < load->clients; i++) {
		struct load_client *client = &load->client[i];
		void *private = client->private;

		memset(client, 0, sizeof(*client));
		client->load = load;
		client->index = i;
		client->seed = i + 100;
		client->private = private;
	}
	for (unsigned i = 0; i < load->clients; i++)
		if (pthread_create(&load->client[i].thread, NULL, client_main, &load->client[i]))
			abort();
	while (interrupt_one(load, &seed)) {
		if (load->disturb)
			load->disturb(load, &seed);
		usleep(100);
	}
	for (unsigned i = 0; i < load->clients; i++)
		pthread_join(load->client[i].thread, NULL);
	pthread_mutex_destroy(&load->lock);
}
