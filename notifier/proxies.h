/* Networks of proxies that are trusted to say who asks: a list of "192.0.2.7" or "10.0.0.0/8".
 * Pure. */
#ifndef NOTIFIER_PROXIES_H
#define NOTIFIER_PROXIES_H

#include "common/yaml.h"

struct proxy_net {
	uint8_t address[16]; /* IPv4 as ::ffff:a.b.c.d */
	unsigned bits;
};

struct proxies {
	struct proxy_net *items;
	size_t n;
};

/* OPT_TREE hooks; field is a struct proxies. */
int proxies_parse(void *field, const struct yaml_node *node, struct why *out_why);
void proxies_release(void *field);
/* address: "192.0.2.7", "::1". */
bool proxies_have(const struct proxies *all, const char *address);

#endif
