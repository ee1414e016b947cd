/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_TESTS_STORE_PROXY_H
#define DV_TESTS_STORE_PROXY_H

/*
 * Between the store and PostgreSQL on a socket: passes everything on, until it is told to lose the
 * next COMMIT or its answer. A thread of its own.
 */

#include <stdbool.h>

enum proxy_loss {
    PROXY_PASSES,
    /* The COMMIT is done, its answer goes nowhere, the client's connection is closed. */
    PROXY_LOSES_ANSWER,
    /*
     * The COMMIT goes nowhere and the client's connection is closed; the database's side of it only
     * once somebody has asked how it ended.
     */
    PROXY_LOSES_COMMIT,
};

/* Listens in `folder` for what is to go to the socket in `database_folder`. */
void proxy_start(const char *folder, const char *database_folder);
void proxy_stop(void);

/* Lose the next one; afterwards all pass again. */
void proxy_lose(enum proxy_loss loss);

/*
 * What a database that crashes does to those who are connected: the last thing that is heard is a
 * warning, and nobody listens any more. Done when it returns; new connections are taken.
 */
void proxy_crash(void);

/* How often it was asked for an outcome since it was last told to lose one. */
int proxy_question_count(void);

#endif
