#include "executor/broker/answer.h"

#include <jansson.h>

#define auto_json __attribute__((cleanup(json_drop))) json_t

static void json_drop(json_t **json)
{
	json_decref(*json);
}

static json_t *parse(const struct buf *text)
{
	return json_loadb(buf_str(text), text->len, JSON_REJECT_DUPLICATES, NULL);
}

/* ---- the label ---- */

static bool carries(const json_t *labels, const char *label)
{
	const char *equals = strchr(label, '=');
	const char *key, *text;
	json_t *value;

	if (!equals)
		return false;
	size_t len = (size_t)(equals - label);
	json_object_foreach((json_t *)(uintptr_t)labels, key, value)
	{
		text = json_string_value(value);
		if (text && strlen(key) == len && strncmp(key, label, len) == 0)
			return str_eq(text, equals + 1);
	}
	return false;
}

static bool is_id(const char *text)
{
	return text && strlen(text) == BROKER_ID_LEN &&
	       strspn(text, "0123456789abcdef") == BROKER_ID_LEN;
}

int broker_container(const struct buf *text, const char *label, struct broker_container *out,
		     struct why *out_why)
{
	auto_json *o = parse(text);
	const json_t *config = json_object_get(o, "Config");
	const char *id = json_string_value(json_object_get(o, "Id"));
	const char *name = json_string_value(json_object_get(o, "Name"));

	if (!is_id(id) || !json_is_object(config))
		return why_set(out_why, ERR_REJECTED, "the Engine's inspection is none");
	if (!carries(json_object_get(config, "Labels"), label))
		return why_set(out_why, ERR_DENIED,
			       "this container does not carry the label %s; give it that where it "
			       "is deployed",
			       label);
	*out = (struct broker_container){
		.tty = json_is_true(json_object_get(config, "Tty")),
	};
	snprintf(out->id, sizeof(out->id), "%s", id);
	snprintf(out->name, sizeof(out->name), "%s", name ? name + (name[0] == '/') : "");
	return 0;
}

/* ---- what goes back ---- */

/* Labels that say what a container is; others may hold anything (a proxy's passwords). */
static const char *const label_prefixes[] = {"healbus.", "com.docker.compose.",
					     "org.opencontainers.image."};

static json_t *labels_of(const json_t *labels, const char *label)
{
	json_t *out = json_object();
	size_t own = (size_t)(strchr(label, '=') - label);
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)labels, key, value)
	{
		bool keep = strlen(key) == own && strncmp(key, label, own) == 0;

		for (size_t i = 0; i < ARRAY_SIZE(label_prefixes); i++)
			keep |= str_starts(key, label_prefixes[i]);
		if (keep)
			json_object_set(out, key, value);
	}
	return out;
}

static json_t *names_of(const json_t *env)
{
	json_t *out = json_array(), *item;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)env, i, item)
	{
		const char *text = json_string_value(item);
		size_t len = text ? strcspn(text, "=") : 0;

		if (len)
			json_array_append_new(out, json_sprintf("%.*s=<removed>", (int)len, text));
	}
	return out;
}

static void copy_keys(const json_t *from, const char *const *keys, json_t *to)
{
	for (; *keys; keys++) {
		json_t *value = json_object_get(from, *keys);

		if (value)
			json_object_set(to, *keys, value);
	}
}

static json_t *mounts_of(const json_t *mounts)
{
	static const char *const keys[] = {"Type", "Destination", "RW", NULL};
	json_t *out = json_array(), *item;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)mounts, i, item)
	{
		json_t *seen = json_object();

		copy_keys(item, keys, seen);
		json_array_append_new(out, seen);
	}
	return out;
}

static json_t *inspection(const json_t *in, const char *label)
{
	static const char *const top[] = {"Id",       "Name",         "Created", "Image",
					  "Platform", "RestartCount", "State",   NULL};
	static const char *const configs[] = {"Image",      "Hostname",    "User", "Tty",
					      "StopSignal", "StopTimeout", NULL};
	static const char *const hosts[] = {"RestartPolicy", "Memory",     "NanoCpus",
					    "PidsLimit",     "Privileged", "ReadonlyRootfs",
					    "NetworkMode",   NULL};
	static const char *const networks[] = {"Ports", NULL};
	const json_t *from = json_object_get(in, "Config");
	json_t *out = json_object(), *config = json_object(), *host = json_object(),
	       *network = json_object();

	if (!json_is_object(from)) {
		json_decref(config);
		json_decref(host);
		json_decref(network);
		json_decref(out);
		return NULL;
	}
	copy_keys(in, top, out);
	copy_keys(from, configs, config);
	json_object_set_new(config, "Env", names_of(json_object_get(from, "Env")));
	json_object_set_new(config, "Labels", labels_of(json_object_get(from, "Labels"), label));
	copy_keys(json_object_get(in, "HostConfig"), hosts, host);
	copy_keys(json_object_get(in, "NetworkSettings"), networks, network);
	json_object_set_new(out, "Config", config);
	json_object_set_new(out, "HostConfig", host);
	json_object_set_new(out, "NetworkSettings", network);
	json_object_set_new(out, "Mounts", mounts_of(json_object_get(in, "Mounts")));
	return out;
}

static json_t *list(const json_t *in, const char *label)
{
	static const char *const keys[] = {"Id",      "Names", "Image",  "ImageID",
					   "Created", "State", "Status", NULL};
	json_t *out = json_array(), *item;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)in, i, item)
	{
		const json_t *labels = json_object_get(item, "Labels");

		/* It was asked for no others; this does not rely on it. */
		if (!carries(labels, label))
			continue;
		json_t *seen = json_object();

		copy_keys(item, keys, seen);
		json_object_set_new(seen, "Labels", labels_of(labels, label));
		json_array_append_new(out, seen);
	}
	if (!json_is_array(in)) {
		json_decref(out);
		return NULL;
	}
	return out;
}

static json_t *version(const json_t *in, const char *label)
{
	static const char *const keys[] = {"Version", "ApiVersion", "MinAPIVersion",
					   "Os",      "Arch",       NULL};
	json_t *out = json_object();

	(void)label;
	copy_keys(in, keys, out);
	if (json_object_size(out) > 0)
		return out;
	json_decref(out);
	return NULL;
}

static json_t *(*const shapes[BROKER_ACTIONS])(const json_t *in, const char *label) = {
	[BROKER_VERSION] = version, [BROKER_LIST] = list, [BROKER_INSPECT] = inspection};

int broker_answer(enum broker_action action, const struct buf *text, const char *label,
		  struct buf *out, struct why *out_why)
{
	auto_json *in = parse(text);
	auto_json *seen = in && shapes[action] ? shapes[action](in, label) : NULL;
	auto_free char *dumped = seen ? json_dumps(seen, JSON_COMPACT) : NULL;

	if (!dumped)
		return why_set(out_why, ERR_REJECTED,
			       "the Engine's answer is not what it should be");
	buf_add_str(out, dumped);
	buf_add_char(out, '\n');
	return 0;
}

void broker_message(const struct buf *text, struct buf *out)
{
	auto_json *o = parse(text);
	const char *message = json_string_value(json_object_get(o, "message"));

	if (message)
		buf_add_printable(out, message, MIN(strlen(message), (size_t)BROKER_MESSAGE_MAX));
}

/* ---- logs ---- */

static void keep(struct broker_log *log, const char *data, size_t len)
{
	buf_add(&log->text, data, len);
	if (log->text.len <= 2 * log->max_bytes)
		return;
	size_t over = log->text.len - log->max_bytes;
	memmove(log->text.data, log->text.data + over, log->max_bytes + 1);
	log->text.len = log->max_bytes;
	log->cut = true;
}

/* STREAM 0 0 0 SIZE, big-endian. */
static bool open_frame(struct broker_log *log)
{
	const unsigned char *h = log->head;

	if (h[0] > 2 || h[1] || h[2] || h[3])
		return false;
	log->left = (uint32_t)h[4] << 24 | (uint32_t)h[5] << 16 | (uint32_t)h[6] << 8 | h[7];
	log->n_head = 0;
	return true;
}

bool broker_log_take(struct broker_log *log, const char *data, size_t len)
{
	if (log->tty) {
		keep(log, data, len);
		return true;
	}
	while (len > 0 && !log->broken) {
		size_t n = MIN((size_t)log->left, len);

		if (n > 0) {
			keep(log, data, n);
			log->left -= (uint32_t)n;
		} else {
			n = MIN(sizeof(log->head) - log->n_head, len);
			memcpy(log->head + log->n_head, data, n);
			log->n_head += n;
			log->broken = log->n_head == sizeof(log->head) && !open_frame(log);
		}
		data += n;
		len -= n;
	}
	return !log->broken;
}

void broker_log_end(struct broker_log *log)
{
	size_t over = log->text.len > log->max_bytes ? log->text.len - log->max_bytes : 0;

	log->cut |= over > 0;
	if (!log->cut)
		return;
	const char *line = memchr(log->text.data + over, '\n', log->text.len - over);
	if (line)
		over = (size_t)(line + 1 - log->text.data);
	memmove(log->text.data, log->text.data + over, log->text.len - over + 1);
	log->text.len -= over;
}

void broker_log_release(struct broker_log *log)
{
	buf_release(&log->text);
}
