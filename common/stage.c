#include "common/stage_private.h"

#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/stat.h>

enum { STAGE_STACK_BYTES = 256 << 10, STAGE_SETTLE_MS = 60000 };

/* ---- threads ---- */

pthread_t stage_spawn(const char *name, void *(*run)(void *), void *arg)
{
	pthread_t t;
	pthread_attr_t attr;
	char short_name[16];
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STAGE_STACK_BYTES);
	if (pthread_create(&t, &attr, run, arg) != 0)
		abort();
	pthread_attr_destroy(&attr);
	snprintf(short_name, sizeof(short_name), "%s", name);
	pthread_setname_np(t, short_name);
	return t;
}

/* On Linux each thread has a nice value of its own. */
void stage_background(const struct stage *s)
{
	if (s->def->background_nice)
		(void)setpriority(PRIO_PROCESS, (id_t)gettid(), s->def->background_nice);
}

bool stage_try_join(pthread_t t)
{
	return pthread_tryjoin_np(t, NULL) == 0;
}

struct own_thread {
	struct stage *stage;
	const struct stage_thread *def;
};

static void *run_own_thread(void *arg)
{
	struct own_thread own = *(struct own_thread *)arg;
	free(arg);
	own.def->run(own.stage);
	bus_thread_done();
	return NULL;
}

static void start_own_threads(struct stage *s)
{
	s->own_threads = mem_calloc(s->def->n_threads, sizeof(*s->own_threads));
	for (size_t i = 0; i < s->def->n_threads; i++) {
		struct own_thread *own = mem_alloc(sizeof(*own));
		*own = (struct own_thread){s, &s->def->threads[i]};
		s->own_threads[i] = stage_spawn(own->def->name, run_own_thread, own);
	}
	s->n_own_threads = s->def->n_threads;
}

static bool own_threads_joined(struct stage *s)
{
	while (s->n_own_threads > 0 && stage_try_join(s->own_threads[s->n_own_threads - 1]))
		s->n_own_threads--;
	return s->n_own_threads == 0;
}

/* ---- stopping ---- */

bool stage_stopping(const struct stage *s)
{
	return atomic_load(&s->stopping);
}

void stage_fail(struct stage *s, int exit_code)
{
	int none = EXIT_STOPPED;
	atomic_compare_exchange_strong(&s->exit_code, &none, exit_code);
	pthread_kill(s->main_thread, SIGUSR2);
}

void stage_give_up(struct stage *s)
{
	stage_fail(s, EXIT_INTERNAL);
}

bool stage_await(struct stage *s, int fd, int64_t ms)
{
	int64_t until = ms < 0 ? INT64_MAX : clock_mono_ms() + ms;
	int ready = 0;
	while (!stage_stopping(s) && ready <= 0) {
		struct pollfd watched[] = {{.fd = s->stop_fd, .events = POLLIN},
					   {.fd = fd, .events = POLLIN}};
		int64_t left_ms = until - clock_mono_ms();
		if (left_ms <= 0)
			break;
		ready = poll(watched, ARRAY_SIZE(watched),
			     ms < 0 ? -1 : (int)MIN(left_ms, (int64_t)INT_MAX));
	}
	return stage_stopping(s);
}

bool stage_sleep(struct stage *s, int64_t ms)
{
	return stage_await(s, -1, MAX(0, ms));
}

static void begin_stop(struct stage *s)
{
	atomic_store(&s->stopping, true);
	if (eventfd_write(s->stop_fd, 1))
		abort();
}

static sigset_t our_signals(void)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGUSR2);
	return set;
}

static bool all_joined(struct stage *s)
{
	bool folds = stage_folds_joined(s);
	bool effects = stage_effects_joined(s);
	bool own = own_threads_joined(s);
	return folds && effects && own && stage_life_joined(s);
}

/* Waits for all threads; a second signal or the end of patience leaves at once, which the stores
 * and the bus survive like a kill. */
static void drain(struct stage *s)
{
	const struct stage_config *c = stage_config_get(s);
	int64_t until = clock_mono_ms() + c->drain_timeout_ms + 2000;
	stage_config_put(s, c);
	const sigset_t set = our_signals();
	const struct timespec pause = {.tv_nsec = 10000000};
	while (!all_joined(s)) {
		stage_service_turn(s);
		int sig = sigtimedwait(&set, NULL, &pause);
		if (sig != SIGTERM && sig != SIGINT && clock_mono_ms() < until)
			continue;
		LOG(WARN, "stopped before the work under way had ended");
		_exit(atomic_load(&s->exit_code));
	}
}

/* ---- reload ---- */

static void set_log_level(const void *config)
{
	log_set_level((enum log_level)((const struct stage_config *)config)->log_level);
}

static void load_again(struct stage *s)
{
	struct stage_snapshot *c = NULL;
	struct why why = {0};
	int rc = stage_config_load(s->def, s->config_dir, &c, &why);
	if (rc) {
		LOG(ERROR, "configuration not reloaded, the old one stays", S("why", why.text));
		return;
	}
	stage_slot_apply(s, stage_snapshot_own(c));
	set_log_level(stage_snapshot_values(c));
	stage_config_swap(s, c);
	LOG(INFO, "configuration reloaded");
	if (s->def->reloaded)
		s->def->reloaded(s);
}

static void reload(struct stage *s)
{
	stage_service_reloading(s, true);
	load_again(s);
	stage_service_reloading(s, false);
}

/* ---- one life ---- */

int stage_make_dir(const char *dir, struct why *out_why)
{
	auto_free char *path = mem_strdup(dir);
	for (char *p = path + 1; *p; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		mkdir(path, 0755);
		*p = '/';
	}
	if (mkdir(path, 0700) != 0 && errno != EEXIST)
		return why_set(out_why, ERR_CONFIG, "state_dir %s: %s", dir, strerror(errno));
	return 0;
}

static int open_all(struct stage *s, struct why *out_why)
{
	const struct stage_config *c = stage_snapshot_values(s->config);
	int rc = stage_make_dir(c->state_dir, out_why);
	if (rc)
		return rc;
	rc = stage_bus_open(s->config_dir, s->def->name, &s->bus, out_why);
	if (rc)
		return rc;
	rc = stage_folds_open(s, out_why);
	if (rc)
		return rc;
	rc = bus_wait(s->bus, BUS_CONNECT_TIMEOUT_MS, out_why);
	if (rc == ERR_DENIED)
		return rc;
	if (rc)
		LOG(WARN, "the bus is away, waiting for it", S("why", out_why->text));
	*out_why = (struct why){0};
	rc = s->def->start ? s->def->start(s, out_why) : 0;
	if (rc)
		return rc;
	rc = stage_effects_open(s, out_why);
	return rc ? rc : stage_http_open(s, out_why);
}

/* Waits for a signal, at most until settle_mono_ms; 0: none came. */
static int next_signal(struct stage *s, int64_t settle_mono_ms)
{
	const sigset_t set = our_signals();
	int64_t turn_ms = stage_service_turn(s);
	int64_t settle_ms = settle_mono_ms - clock_mono_ms();
	int64_t ms = MAX(0, MIN(settle_ms, turn_ms));
	const struct timespec wait = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
	int sig = sigtimedwait(&set, NULL, &wait);
	return MAX(0, sig);
}

static void serve(struct stage *s)
{
	int64_t settle_mono_ms = 0;
	LOG(INFO, "started", S("version", HEALBUS_VERSION), S("boot", s->boot));
	for (int sig = 0; sig == 0 || sig == SIGHUP; sig = next_signal(s, settle_mono_ms)) {
		if (sig == SIGHUP)
			reload(s);
		if (clock_mono_ms() < settle_mono_ms)
			continue;
		mem_settle(); /* what a busy hour needed is not needed now */
		settle_mono_ms = clock_mono_ms() + STAGE_SETTLE_MS;
	}
	stage_service_stopping(s);
	LOG(INFO, "stopping");
}

static int exit_code_of(int rc)
{
	if (rc == ERR_DENIED || rc == ERR_UNAUTHENTICATED)
		return EXIT_REFUSED;
	if (rc == ERR_BUSY)
		return EXIT_LOCKED;
	return rc == ERR_CONFIG || err_class(rc) == ERR_CLASS_INPUT ? EXIT_CONFIG : EXIT_INTERNAL;
}

static void close_all(struct stage *s, bool started)
{
	stage_http_close(s);
	if (started && s->def->stop)
		s->def->stop(s);
	stage_effects_close(s);
	if (started)
		stage_life_end(s);
	stage_folds_close(s);
	bus_close(s->bus);
	free(s->own_threads);
}

static void run(struct stage *s)
{
	struct why why = {0};
	int rc = open_all(s, &why);
	if (rc) {
		LOG(ERROR, "cannot start", S("error", err_name(rc)), S("why", why.text));
		atomic_store(&s->exit_code, exit_code_of(rc));
		begin_stop(s);
		close_all(s, false);
		return;
	}
	stage_life_start(s);
	stage_folds_start(s);
	stage_effects_start(s);
	start_own_threads(s);
	serve(s);
	begin_stop(s);
	drain(s);
	close_all(s, true);
	LOG(INFO, "stopped");
}

static void name_instance(struct stage *s)
{
	char host[64] = "";
	gethostname(host, sizeof(host) - 1);
	snprintf(s->instance, sizeof(s->instance), "%s-%d", host, (int)getpid());
	id_random(s->boot);
}

static int run_stage(const struct stage_def *def, const char *dir)
{
	struct stage s = {.def = def, .config_dir = dir, .main_thread = pthread_self()};
	struct why why = {0};
	const sigset_t set = our_signals();
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	stage_service_open(&s);
	log_init(def->name, LOG_INFO);
	if (def->early)
		def->early();
	int rc = stage_config_load(def, dir, &s.config, &why);
	if (rc) {
		LOG(ERROR, "configuration", S("why", why.text));
		return EXIT_CONFIG;
	}
	set_log_level(stage_snapshot_values(s.config));
	s.stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s.stop_fd < 0) {
		LOG(ERROR, "cannot start", S("why", strerror(errno)));
		return EXIT_INTERNAL;
	}
	pthread_mutex_init(&s.lock, NULL);
	name_instance(&s);
	rc = stage_slot_take(&s, &set, &why);
	if (rc == 0) {
		stage_slot_apply(&s, stage_snapshot_own(s.config));
		run(&s);
	} else if (rc != ERR_CLOSED) {
		LOG(ERROR, "no slot", S("why", why.text));
		atomic_store(&s.exit_code, exit_code_of(rc));
	}
	stage_slot_release(&s);
	stage_service_close(&s);
	stage_snapshot_free(def, s.config);
	close(s.stop_fd);
	return atomic_load(&s.exit_code);
}

/* Like a kill: another life reads what this one had in hand once more. */
static void on_damaged(const char *text)
{
	LOG(ERROR, "state damaged: stopping", S("why", text));
	_exit(EXIT_INTERNAL);
}

/* Without memory jansson would leave a field out, and a fold would decide by what is left. */
static void *json_memory(size_t bytes)
{
	return mem_realloc(NULL, bytes);
}

int stage_main(const struct stage_def *def, int argc, char **argv)
{
	struct stage_cli cli;
	mem_start();
	json_set_alloc_funcs(json_memory, free);
	store_on_damaged(on_damaged);
	unsetenv("HOME"); /* libjq puts $HOME/.jq before every expression; no thread runs yet */
	int code = stage_cli_parse(def, argc, argv, &cli);
	if (code >= 0)
		return code;
	code = stage_cli_answer(def, &cli);
	return code >= 0 ? code : run_stage(def, cli.config_dir);
}

/* ---- accessors ---- */

struct bus *stage_bus(struct stage *s)
{
	return s->bus;
}

const char *stage_name(const struct stage *s)
{
	return s->def->name;
}

const char *stage_boot(const struct stage *s)
{
	return s->boot;
}

const char *stage_instance(const struct stage *s)
{
	return s->instance;
}

void stage_set_data(struct stage *s, void *data)
{
	s->data = data;
}

void *stage_data(struct stage *s)
{
	return s->data;
}

int stage_publish(struct stage *s, enum kind kind, const char *token, const ProtobufCMessage *msg,
		  const char *id, const char *cause, int64_t time_ms, int64_t timeout_ms,
		  uint64_t *out_seq, struct why *out_why)
{
	char subject[SUBJECT_MAX + 1];
	auto_buf packed = {0};
	int rc = wire_check(kind, msg, out_why);
	if (rc)
		return rc;
	if (!token_valid(token))
		return why_set(out_why, ERR_INVALID, "publish %s: not a token", kind_name(kind));
	if (kind == KIND_DEAD)
		subject_dead(subject, token);
	else if (kind >= KIND_INCIDENT && kind <= KIND_CONTROL)
		subject_story(subject, kind, token);
	else
		return why_set(out_why, ERR_INVALID, "publish: %s is not on STORY",
			       kind_name(kind));
	wire_pack(msg, &packed);
	struct bus_msg m = {.subject = subject,
			    .id = id,
			    .cause = cause,
			    .time_ms = time_ms,
			    .data = packed.data,
			    .len = packed.len};
	return bus_publish(s->bus, &m, timeout_ms, out_seq, out_why);
}
