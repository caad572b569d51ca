#include "notifier/ctl/ctl.h"

#include <signal.h>

int main(int argc, char **argv)
{
	struct ctl c = {0};

	signal(SIGPIPE, SIG_DFL);
	int rc = ctl_parse(&c, argc, argv);
	if (rc == EXIT_OK)
		rc = c.command->run(&c);
	ctl_flush(&c);
	buf_release(&c.out);
	http_client_free(c.client);
	ctl_parse_release(&c);
	return rc;
}
