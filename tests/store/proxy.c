/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy.h"

#include "base/alloc.h"

#include <assert.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define PAIRS_MAX 16
#define BLOCK_SIZE 65536

struct pair {
    int client, database; /* -1: closed */
    bool is_mute;         /* nothing goes to the client any more */
};

static struct pair pairs[PAIRS_MAX];
static int listener = -1, stop_pipe[2], crash_pipe[2];
static sem_t has_crashed;
static struct sockaddr_un own_address, database_address;
static atomic_int loss;
static atomic_int question_count;
static pthread_t thread;

static struct sockaddr_un address_in(const char *folder)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    int length = snprintf(address.sun_path, sizeof(address.sun_path), "%s/.s.PGSQL.5432", folder);
    assert(length > 0 && (size_t)length < sizeof(address.sun_path));
    return address;
}

static int connect_to_database(void)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert(fd >= 0);
    int result =
        connect(fd, (const struct sockaddr *)&database_address, sizeof(database_address));
    assert(result == 0);
    return fd;
}

static void close_end(int *fd)
{
    if (*fd >= 0) {
        (void)close(*fd);
    }
    *fd = -1;
}

static void send_all(int fd, const char *data, ssize_t size)
{
    for (ssize_t done = 0; fd >= 0 && done < size;) {
        ssize_t sent = send(fd, data + done, (size_t)(size - done), MSG_NOSIGNAL);
        if (sent <= 0) {
            return; /* the other end will be seen to be closed */
        }
        done += sent;
    }
}

static void pass_from_client(struct pair *pair)
{
    char block[BLOCK_SIZE];
    ssize_t size = recv(pair->client, block, sizeof(block), 0);

    if (size <= 0) {
        close_end(&pair->client);
        close_end(&pair->database);
        return;
    }
    if (memmem(block, (size_t)size, "COMMIT", 6) && atomic_load(&loss) != PROXY_PASSES) {
        pair->is_mute = true;
        if (atomic_exchange(&loss, PROXY_PASSES) == PROXY_LOSES_COMMIT) {
            close_end(&pair->client);
            return;
        }
    }
    if (memmem(block, (size_t)size, "pg_xact_status", 14)) {
        atomic_fetch_add(&question_count, 1);
    }
    send_all(pair->database, block, size);
}

/* The first answer was for the first question: whoever held on to a lost COMMIT lets go. */
static void close_mute_databases(void)
{
    for (size_t i = 0; i < PAIRS_MAX; i++) {
        if (pairs[i].is_mute && pairs[i].client < 0) {
            close_end(&pairs[i].database);
        }
    }
}

static void pass_from_database(struct pair *pair)
{
    char block[BLOCK_SIZE];
    ssize_t size = recv(pair->database, block, sizeof(block), 0);

    if (size <= 0 || pair->is_mute) { /* an answer that is lost */
        close_end(&pair->client);
        close_end(&pair->database);
        return;
    }
    send_all(pair->client, block, size);
    if (atomic_load(&question_count) > 0) {
        close_mute_databases();
    }
}

static void take_client(void)
{
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    size_t place = 0;

    assert(fd >= 0);
    while (place < PAIRS_MAX && (pairs[place].client >= 0 || pairs[place].database >= 0)) {
        place++;
    }
    assert(place < PAIRS_MAX); /* more connections than the test needs */
    pairs[place] = (struct pair){.client = fd, .database = connect_to_database()};
}

/* NoticeResponse (PostgreSQL's documentation, 55.7): severity, code, message. */
static void crash(void)
{
    static const char notice[] = "N\0\0\0\x24SWARNING\0C57P02\0Mcrash is near\0";
    char byte;

    ssize_t size = read(crash_pipe[0], &byte, 1);
    assert(size == 1);
    for (size_t i = 0; i < PAIRS_MAX; i++) {
        send_all(pairs[i].client, notice, sizeof(notice));
        close_end(&pairs[i].client);
        close_end(&pairs[i].database);
    }
    (void)sem_post(&has_crashed);
}

void proxy_crash(void)
{
    ssize_t size = write(crash_pipe[1], "", 1);

    assert(size == 1);
    (void)sem_wait(&has_crashed);
}

static void *serve(void *user)
{
    struct pollfd fds[3 + 2 * PAIRS_MAX];

    (void)user;
    for (;;) {
        fds[0] = (struct pollfd){.fd = stop_pipe[0], .events = POLLIN};
        fds[1] = (struct pollfd){.fd = listener, .events = POLLIN};
        for (size_t i = 0; i < PAIRS_MAX; i++) {
            /* Of a client that is gone nothing is wanted; its database waits to be let go. */
            fds[2 + 2 * i] = (struct pollfd){.fd = pairs[i].client, .events = POLLIN};
            fds[3 + 2 * i] = (struct pollfd){
                .fd = pairs[i].client < 0 ? -1 : pairs[i].database, .events = POLLIN};
        }
        fds[2 + 2 * PAIRS_MAX] = (struct pollfd){.fd = crash_pipe[0], .events = POLLIN};
        int ready = poll(fds, 3 + 2 * PAIRS_MAX, -1);
        assert(ready > 0);
        if (fds[0].revents) {
            return NULL;
        }
        if (fds[2 + 2 * PAIRS_MAX].revents) {
            crash();
            continue;
        }
        for (size_t i = 0; i < PAIRS_MAX; i++) {
            if (fds[2 + 2 * i].revents) {
                pass_from_client(&pairs[i]);
            }
            if (fds[3 + 2 * i].revents && pairs[i].database >= 0) {
                pass_from_database(&pairs[i]);
            }
        }
        if (fds[1].revents) {
            take_client();
        }
    }
}

void proxy_start(const char *folder, const char *database_folder)
{
    own_address = address_in(folder);
    database_address = address_in(database_folder);
    for (size_t i = 0; i < PAIRS_MAX; i++) {
        pairs[i] = (struct pair){.client = -1, .database = -1};
    }
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int result = bind(listener, (const struct sockaddr *)&own_address, sizeof(own_address));
    assert(result == 0);
    result = listen(listener, PAIRS_MAX);
    assert(result == 0);
    result = pipe(stop_pipe);
    assert(result == 0);
    result = pipe(crash_pipe);
    assert(result == 0);
    result = sem_init(&has_crashed, 0, 0);
    assert(result == 0);
    result = pthread_create(&thread, NULL, serve, NULL);
    assert(result == 0);
}

void proxy_stop(void)
{
    close_end(&stop_pipe[1]);
    (void)pthread_join(thread, NULL);
    close_end(&stop_pipe[0]);
    close_end(&crash_pipe[0]);
    close_end(&crash_pipe[1]);
    (void)sem_destroy(&has_crashed);
    close_end(&listener);
    (void)unlink(own_address.sun_path);
    for (size_t i = 0; i < PAIRS_MAX; i++) {
        close_end(&pairs[i].client);
        close_end(&pairs[i].database);
    }
}

void proxy_lose(enum proxy_loss wanted)
{
    atomic_store(&question_count, 0);
    atomic_store(&loss, wanted);
}

int proxy_question_count(void)
{
    return atomic_load(&question_count);
}
