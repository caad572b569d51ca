/* The TLS check's own context. */
#ifndef MONITOR_CHECKS_TLS_H
#define MONITOR_CHECKS_TLS_H

void check_tls_free(void *context);

#endif
