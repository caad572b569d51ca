/*
 * `healbus-executor backup DIR`, `check DIR` and `restore DIR`: the journals of this executor's
 * state_dir (one, or one a slot) as consistent copies, taken while it runs, looked at, and put back
 * where there is none. What a journal holds is on no bus: the last state of every step, and the
 * audit chain. Not in the copy: keys and secrets (they are files of their own, to be kept as
 * secrets are), workspaces.
 *
 *     DIR/journal/data.mdb   or   DIR/slot-0/journal/data.mdb ...
 */
#ifndef EXECUTOR_BACKUP_H
#define EXECUTOR_BACKUP_H

/* For struct stage_command: the exit code. */
int backup_command(int argc, char **argv, const char *config_dir);
int backup_check_command(int argc, char **argv, const char *config_dir);
int backup_restore_command(int argc, char **argv, const char *config_dir);

#endif
