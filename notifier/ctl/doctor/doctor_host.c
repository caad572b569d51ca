#include "notifier/ctl/doctor/doctor.h"
#include "notifier/ctl/run.h"

#include <sys/syscall.h>
#include <sys/timex.h>

/* ---- configuration of the programs ---- */

static void look_at_program(struct doctor *d, const char *program)
{
	const char *argv[] = {NULL, "-c", ctl_config_dir(d->ctl), "--check", NULL};
	auto_buf said = {0};
	int status = 0;
	int rc = run_beside(program, argv, &said, &status);

	/* the first line is the reason */
	if (said.len)
		said.data[strcspn(said.data, "\n")] = 0;
	if (rc)
		finding(d, FINDING_WARN, "configuration", "install it, or check it on its own host",
			"%s cannot be run here: %s", program, err_name(rc));
	else if (status)
		finding(d, FINDING_FAIL, "configuration",
			"repair the file; --example-config shows all keys", "%s: %s", program,
			buf_str(&said));
	else
		finding(d, FINDING_OK, "configuration", NULL, "%s: %s is valid", program,
			ctl_config_dir(d->ctl));
}

void doctor_configuration(struct doctor *d)
{
	static const char *const programs[] = {"healbus-monitor", "healbus-reasoner",
					       "healbus-executor", "healbus-notifier",
					       "healbus-docker-broker"};

	for (size_t i = 0; i < ARRAY_SIZE(programs); i++)
		look_at_program(d, programs[i]);
}

/* ---- sandbox ---- */

static const char userns_hint[] =
	"sysctl kernel.unprivileged_userns_clone=1 user.max_user_namespaces=10000; in a container: "
	"--security-opt systempaths=unconfined and a seccomp profile that allows namespaces";

/* Landlock's version, 0 when the kernel has none. Debian 12's headers know the call's number. */
static long landlock_abi(void)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, 1 /* ..._VERSION */);

	return abi > 0 ? abi : 0;
}

static long read_number(const char *path)
{
	auto_file FILE *f = fopen(path, "re");
	char line[64];

	return f && fgets(line, sizeof(line), f) ? strtol(line, NULL, 10) : -1;
}

void doctor_sandbox(struct doctor *d)
{
	const char *argv[] = {NULL,
			      "--unshare-all",
			      "--die-with-parent",
			      "--ro-bind",
			      "/",
			      "/",
			      "--proc",
			      "/proc",
			      "--dev",
			      "/dev",
			      "true",
			      NULL};
	auto_buf said = {0};
	int status = 0;
	int rc = run_program("bwrap", argv, &said, &status);

	if (said.len)
		said.data[strcspn(said.data, "\n")] = 0;
	if (rc == ERR_NOT_FOUND)
		finding(d, FINDING_FAIL, "sandbox", "apt-get install bubblewrap",
			"bwrap is not installed; command tools cannot run");
	else if (rc || status)
		finding(d, FINDING_FAIL, "sandbox", userns_hint, "bwrap does not work here: %s",
			buf_str(&said));
	else
		finding(d, FINDING_OK, "sandbox", NULL, "bwrap makes a sandbox");
	if (read_number("/proc/sys/user/max_user_namespaces") == 0)
		finding(d, FINDING_FAIL, "sandbox", userns_hint,
			"user namespaces are switched off");
	if (landlock_abi())
		finding(d, FINDING_OK, "sandbox", NULL, "Landlock ABI %ld", landlock_abi());
	else
		finding(d, FINDING_WARN, "sandbox",
			"boot with lsm=landlock,... (kernel 5.13 or newer)",
			"no Landlock: one layer less");
}

/* ---- clock ---- */

void doctor_clock(struct doctor *d)
{
	struct timex t = {0};
	int state = adjtimex(&t);

	if (state < 0)
		finding(d, FINDING_WARN, "clock", NULL, "cannot be examined: %s", strerror(errno));
	else if (state == TIME_ERROR || (t.status & STA_UNSYNC))
		finding(d, FINDING_WARN, "clock",
			"run NTP: timedatectl set-ntp true, or chrony; in a container look on the "
			"host",
			"the kernel's clock is not synchronised");
	else
		finding(d, FINDING_OK, "clock", NULL, "synchronised, estimated error %ld ms",
			t.esterror / 1000);
}
