#include "notifier/ctl/doctor/doctor.h"
#include "notifier/ctl/run.h"

#include <grp.h>
#include <sys/stat.h>

#include "common/config.h"
#include "common/mem.h"
#include "common/yaml.h"

/* Whoever may use the Docker Engine's socket is root: of healbus only the broker may be that. */

static const char broker[] = "healbus-docker-broker";
static const char broker_user[] = "healbus-broker";

static int ask_broker(struct doctor *d, const char *what, struct buf *out)
{
	const char *argv[] = {NULL, "-c", ctl_config_dir(d->ctl), what, NULL};
	int status = 0;
	int rc = run_beside(broker, argv, out, &status);

	return rc ? rc : status ? ERR_REJECTED : 0;
}

/* engine.socket of broker.yaml; NULL where the broker cannot say. The caller frees. */
static char *engine_socket(struct doctor *d)
{
	auto_buf text = {0};
	struct yaml_doc doc = {0};
	struct why why = {0};
	const char *path = NULL;

	if (ask_broker(d, "--print-config", &text) ||
	    yaml_parse_text(broker, buf_str(&text), text.len, &doc, &why))
		return NULL;
	int rc = yaml_str(config_node(doc.root, "engine.socket"), "engine.socket", &path, &why);
	char *copy = rc ? NULL : mem_strdup(path);
	yaml_release(&doc);
	return copy;
}

static void look_at_members(struct doctor *d, const struct group *g)
{
	static const char next[] = "gpasswd --delete USER GROUP; the docker tools ask "
				   "healbus-docker-broker";

	for (char **name = g->gr_mem; *name; name++) {
		if (str_starts(*name, "healbus") && !str_eq(*name, broker_user))
			finding(d, FINDING_FAIL, "docker", next,
				"%s is in the group %s of the Engine's socket: as good as root",
				*name, g->gr_name);
	}
}

static void look_at_broker(struct doctor *d)
{
	auto_buf said = {0};

	if (ask_broker(d, "--healthy", &said) == 0)
		finding(d, FINDING_OK, "docker", NULL, "the broker answers");
	else
		finding(d, FINDING_WARN, "docker",
			"systemctl enable --now healbus-docker-broker, or leave it: only the "
			"docker tools need it",
			"there is an Engine, and no broker that answers us");
}

void doctor_docker(struct doctor *d)
{
	struct stat st;
	auto_free char *path = engine_socket(d);

	if (!path) {
		finding(d, FINDING_WARN, "docker", "install it, or check it on its own host",
			"%s does not say where the Engine's socket is", broker);
		return;
	}
	if (stat(path, &st)) {
		finding(d, FINDING_OK, "docker", NULL, "no Engine at %s", path);
		return;
	}
	const struct group *g = getgrgid(st.st_gid);
	if (st.st_mode & 0002)
		finding(d, FINDING_FAIL, "docker", "chmod o-rw, and find out who made it so",
			"anybody may use %s: anybody is root here", path);
	if (g)
		look_at_members(d, g);
	look_at_broker(d);
}
