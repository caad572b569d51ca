/*
 * Which receivers a routing tree chooses: for comparing with Alertmanager's own tool.
 *
 *     routeask NOTIFIER.yaml < lines of "name=value name=value ..."
 *
 * Prints one line each: the receivers' names in order, with commas. Exit code 1: the file is wrong.
 */
#include "notifier/config.h"

enum { LABELS_MAX = 16, LINE_MAX_BYTES = 4096 };

struct labels {
	char *names[LABELS_MAX], *values[LABELS_MAX];
	size_t n;
};

static const char *lookup(const void *ctx, const char *name)
{
	const struct labels *l = ctx;
	for (size_t i = 0; i < l->n; i++)
		if (str_eq(l->names[i], name))
			return l->values[i];
	return NULL;
}

static void split(char *line, struct labels *out)
{
	*out = (struct labels){0};
	char *save = NULL;
	for (char *word = strtok_r(line, " \n", &save); word && out->n < LABELS_MAX;
	     word = strtok_r(NULL, " \n", &save)) {
		char *equals = strchr(word, '=');
		if (!equals)
			continue;
		*equals = '\0';
		out->names[out->n] = word;
		out->values[out->n++] = equals + 1;
	}
}

static void answer(const struct route *root, char *line)
{
	struct labels labels;
	const struct route *routes[ROUTES_MATCHED_MAX];
	split(line, &labels);
	size_t n = route_match(root, lookup, &labels, routes);
	for (size_t i = 0; i < n; i++)
		printf("%s%s", i ? "," : "", routes[i]->receiver);
	printf("\n");
}

int main(int argc, char **argv)
{
	struct yaml_doc doc = {0};
	struct why why = {0};
	struct route root = {0};
	char line[LINE_MAX_BYTES];
	int rc = argc == 2 ? yaml_parse_file(argv[1], &doc, &why) : ERR_INVALID;
	if (!rc)
		rc = route_parse(&root, yaml_get(doc.root, "route"), &why);
	if (rc)
		fprintf(stderr, "routeask: %s\n", why.text);
	while (!rc && fgets(line, sizeof(line), stdin))
		answer(&root, line);
	route_release(&root);
	yaml_release(&doc);
	return rc ? 1 : 0;
}
