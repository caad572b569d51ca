/*
 * `healbus-monitor record` and `replay`: streams of the bus into a file, and back. Commands, not
 * part of the running stage; both connect as the bus user "operator".
 */
#ifndef MONITOR_RECORD_H
#define MONITOR_RECORD_H

/* For struct stage_command: the exit code. */
int record_command(int argc, char **argv, const char *config_dir);
int replay_command(int argc, char **argv, const char *config_dir);

#endif
