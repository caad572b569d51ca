/* https://kubernetes.io/docs/reference/kubernetes-api/ (Job, batch/v1; Secret, core/v1). The pod
 * keeps the restricted Pod Security Standard. */
#include "executor/sandboxes/kubernetes_private.h"

#include "common/mem.h"

enum {
	OWNER = 65534, /* nobody */
	TTL_S = 300,   /* of a Job that nobody deletes, after its end */
	KILL_GRACE_S = 2,
};

#define TMP_BYTES ((int64_t)64 << 20)
#define OUT_BYTES ((int64_t)16 << 20)
#define END_BYTES ((int64_t)1 << 20)

/* Three containers, one after the other: each ends all its processes, and only the last one, which
 * runs when the program's are gone, knows the nonce. Only the first sees the Secrets. */
static const char unpack[] =
	"umask 022; cd /work && cat /in/tree-* | gzip -dc | tar -xf - || exit 1\n"
	"for part in /in/input-*; do [ ! -e \"$part\" ] || cat \"$part\"; done >/out/input";
/* Sees words of the program's as arguments only. */
static const char program[] = "cd /work || exit 125\n"
			      "ulimit -c 0; ulimit -n \"$0\" 2>/dev/null\n"
			      "\"$@\" >/out/text 2>&1 </out/input\n"
			      "echo $? >/end/code";
static const char courier[] = "cd /work || exit 1\n" PARCEL_SAY("/out/text", "/end/code");

/* Kubernetes replaces $(NAME) in arguments and values; $$ is a plain $. */
static json_t *plain(const char *text)
{
	auto_buf out = {0};
	for (; *text; text++) {
		if (*text == '$')
			buf_add_char(&out, '$');
		buf_add_char(&out, *text);
	}
	return json_stringn(buf_str(&out), out.len);
}

static json_t *quantity(int64_t bytes)
{
	auto_free char *text = mem_printf("%" PRId64, bytes);
	return json_string(text);
}

static json_t *labels(const struct kubernetes_run *k)
{
	return json_pack("{s:s, s:s, s:s}", "app.kubernetes.io/managed-by", "healbus",
			 "app.kubernetes.io/component", "cell", "healbus-cell", k->name);
}

static json_t *metadata(const struct kubernetes_run *k, const char *name)
{
	return json_pack("{s:s, s:o}", "name", name, "labels", labels(k));
}

/* ---- containers ---- */

static json_t *script_args(const char *script, const char *const *more, char *const *argv)
{
	json_t *args = json_pack("[s, s, o]", "/bin/sh", "-c", plain(script));
	for (; *more; more++)
		json_array_append_new(args, plain(*more));
	for (; argv && *argv; argv++)
		if (json_array_append_new(args, plain(*argv)) < 0) {
			json_decref(args);
			return NULL;
		}
	return args;
}

static json_t *env_of(char *const *env)
{
	json_t *list = json_array();
	for (; *env; env++) {
		const char *is = strchr(*env, '=');
		auto_free char *name = mem_printf("%.*s", is ? (int)(is - *env) : 0, *env);
		if (is)
			json_array_append_new(list, json_pack("{s:s, s:o}", "name", name, "value",
							      plain(is + 1)));
	}
	return list;
}

/* Trees are in memory, which counts as a container's own. */
static json_t *resources(const struct kubernetes_run *k)
{
	int64_t memory =
		k->job->bounds.memory_bytes ? k->job->bounds.memory_bytes : CELL_MEMORY_BYTES;
	memory += k->disk_bytes + TMP_BYTES + OUT_BYTES + END_BYTES;
	return json_pack("{s:{s:o, s:s, s:s}, s:{s:o, s:s, s:s}}", "limits", "memory",
			 quantity(memory), "cpu", "2", "ephemeral-storage", "256Mi", "requests",
			 "memory", quantity(MIN(memory, INT64_C(512) << 20)), "cpu", "100m",
			 "ephemeral-storage", "64Mi");
}

static json_t *mounts(const char *const *names, bool readonly)
{
	json_t *list = json_array();
	for (; *names; names++) {
		auto_free char *path = mem_printf("/%s", *names);
		bool fixed = str_eq(*names, "in") || (readonly && !str_eq(*names, "work"));
		json_array_append_new(list, json_pack("{s:s, s:s, s:b}", "name", *names,
						      "mountPath", path, "readOnly", fixed));
	}
	return list;
}

struct container {
	const char *name;
	const char *mounts[6];
	bool readonly; /* all but the tree */
};
static const struct container containers[] = {{"unpack", {"in", "work", "out"}, false},
					      {"program", {"work", "out", "end", "tmp"}, false},
					      {"courier", {"work", "out", "end"}, true}};

static json_t *container(const struct kubernetes_run *k, const struct container *c, json_t *command,
			 json_t *env)
{
	return json_pack("{s:s, s:s, s:o, s:o, s:s, s:o, s:o, s:s, s:{s:b, s:b, s:b, s:b, s:i, "
			 "s:i, s:{s:[s]}, s:{s:s}}}",
			 "name", c->name, "image", k->settings->image, "command", command, "env",
			 env, "workingDir", "/work", "volumeMounts", mounts(c->mounts, c->readonly),
			 "resources", resources(k), "terminationMessagePolicy",
			 "FallbackToLogsOnError", "securityContext", "allowPrivilegeEscalation", 0,
			 "privileged", 0, "readOnlyRootFilesystem", 1, "runAsNonRoot", 1,
			 "runAsUser", OWNER, "runAsGroup", OWNER, "capabilities", "drop", "ALL",
			 "seccompProfile", "type", "RuntimeDefault");
}

/* ---- the pod ---- */

static json_t *in_memory(const char *name, int64_t bytes)
{
	return json_pack("{s:s, s:{s:s, s:o}}", "name", name, "emptyDir", "medium", "Memory",
			 "sizeLimit", quantity(bytes));
}

static bool part_of(const struct kubernetes_run *k, size_t i, const char **out_name,
		    struct buf *out_data)
{
	for (size_t l = 0; l < KUBERNETES_LOADS; l++) {
		const struct buf *data = &k->loads[l].data;
		size_t n = (data->len + KUBERNETES_PART_BYTES - 1) / KUBERNETES_PART_BYTES;
		if (i >= n) {
			i -= n;
			continue;
		}
		size_t from = i * KUBERNETES_PART_BYTES;
		*out_name = k->loads[l].name;
		if (out_data)
			buf_add(out_data, buf_str(data) + from,
				MIN(data->len - from, (size_t)KUBERNETES_PART_BYTES));
		return true;
	}
	return false;
}

static json_t *volumes(const struct kubernetes_run *k)
{
	json_t *sources = json_array();
	const char *unused;
	for (size_t i = 0; part_of(k, i, &unused, NULL); i++) {
		auto_free char *name = mem_printf("%s-%zu", k->name, i);
		json_array_append_new(sources, json_pack("{s:{s:s}}", "secret", "name", name));
	}
	return json_pack("[{s:s, s:{s:o, s:i}}, o, o, o, o]", "name", "in", "projected", "sources",
			 sources, "defaultMode", 0444, in_memory("work", k->disk_bytes),
			 in_memory("out", OUT_BYTES), in_memory("end", END_BYTES),
			 in_memory("tmp", TMP_BYTES));
}

/* "a=b,c=d"; what has no = was refused when the configuration was read. */
static json_t *node_selector(const char *text)
{
	json_t *map = json_object();
	for (const char *p = text; p && *p;) {
		size_t len = strcspn(p, ",");
		auto_free char *pair = mem_printf("%.*s", (int)len, p);
		char *is = strchr(pair, '=');
		if (is) {
			*is = '\0';
			json_object_set_new(map, pair, json_string(is + 1));
		}
		p += len + (p[len] == ',');
	}
	return map;
}

static json_t *pod_spec(const struct kubernetes_run *k)
{
	const struct spawn_bounds *b = &k->job->bounds;
	auto_free char *files =
		mem_printf("%" PRId64, b->open_files ? b->open_files : (int64_t)CELL_OPEN_FILES);
	auto_free char *output = mem_printf("%d", PARCEL_OUTPUT_BYTES);
	auto_free char *tree = mem_printf("%d", k->cell->discard ? 0 : PARCEL_TREE_BYTES + 1);
	const char *const none[] = {"unpack", NULL}, *const limits[] = {files, NULL};
	const char *const say[] = {k->nonce, output, k->limits->keep_end ? "tail" : "head", tree,
				   NULL};
	json_t *first = container(k, &containers[0], script_args(unpack, none, NULL), json_array());
	json_t *second = container(k, &containers[1], script_args(program, limits, k->job->argv),
				   env_of(k->job->env));
	json_t *last = container(k, &containers[2], script_args(courier, say, NULL), json_array());
	json_t *spec = json_pack(
		"{s:s, s:b, s:b, s:b, s:b, s:b, s:b, s:i, s:{s:b, s:i, s:i, s:{s:s}}, "
		"s:[o, o], s:[o], s:o}",
		"restartPolicy", "Never", "automountServiceAccountToken", 0, "enableServiceLinks",
		0, "hostNetwork", 0, "hostPID", 0, "hostIPC", 0, "shareProcessNamespace", 0,
		"terminationGracePeriodSeconds", KILL_GRACE_S, "securityContext", "runAsNonRoot", 1,
		"runAsUser", OWNER, "runAsGroup", OWNER, "seccompProfile", "type", "RuntimeDefault",
		"initContainers", first, second, "containers", last, "volumes", volumes(k));
	if (spec && k->settings->node_selector)
		json_object_set_new(spec, "nodeSelector",
				    node_selector(k->settings->node_selector));
	if (spec && k->settings->runtime_class)
		json_object_set_new(spec, "runtimeClassName",
				    json_string(k->settings->runtime_class));
	return spec;
}

json_t *kubernetes_job(const struct kubernetes_run *k)
{
	json_int_t deadline_ms = k->limits->timeout_ms;
	deadline_ms += 2L * KUBERNETES_COLLECT_MS;
	json_t *spec = pod_spec(k);
	if (!spec)
		return NULL;
	return json_pack("{s:s, s:s, s:o, s:{s:i, s:i, s:i, s:I, s:i, s:{s:{s:o}, s:o}}}",
			 "apiVersion", "batch/v1", "kind", "Job", "metadata", metadata(k, k->name),
			 "spec", "backoffLimit", 0, "completions", 1, "parallelism", 1,
			 "activeDeadlineSeconds", deadline_ms / 1000 + 1, "ttlSecondsAfterFinished",
			 TTL_S, "template", "metadata", "labels", labels(k), "spec", spec);
}

json_t *kubernetes_secret(const struct kubernetes_run *k, size_t i)
{
	const char *load;
	auto_buf data = {0}, text = {0};
	if (!part_of(k, i, &load, &data))
		return NULL;
	base64_add(&text, buf_str(&data), data.len);
	auto_free char *name = mem_printf("%s-%zu", k->name, i);
	auto_free char *key = mem_printf("%s-%02zu", load, i);
	json_t *meta = metadata(k, name);
	/* With its Job it goes, whoever deletes that. */
	json_object_set_new(meta, "ownerReferences",
			    json_pack("[{s:s, s:s, s:s, s:s}]", "apiVersion", "batch/v1", "kind",
				      "Job", "name", k->name, "uid", k->uid));
	return json_pack("{s:s, s:s, s:o, s:s, s:b, s:{s:s}}", "apiVersion", "v1", "kind", "Secret",
			 "metadata", meta, "type", "Opaque", "immutable", 1, "data", key,
			 buf_str(&text));
}
