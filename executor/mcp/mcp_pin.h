/* healbus-executor mcp pin SERVER [TOOL] */
#ifndef EXECUTOR_MCP_PIN_H
#define EXECUTOR_MCP_PIN_H

/* Asks the server for its tools and prints each as a file for tools_dir: pinned, of level hard, its
 * parameters as far as ours can say them. A person reads it and lowers the level. Exit code. */
int mcp_pin_command(int argc, char **argv, const char *config_dir);

#endif
