/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/channel.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/file.h"
#include "spec/limits.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

struct dv_channel {
    int fd;
    size_t start; /* of what has not been handed out */
    size_t end;   /* of what has arrived */
    int passed_fds[DV_CHANNEL_FDS_MAX];
    size_t passed_count;
    bool is_closed; /* by the other side */
    bool is_stuck;  /* half a line was sent: another would only be its continuation */
    char data[DV_MESSAGE_SIZE_MAX];
};

enum dv_status dv_channel_pair(int ret_fds[static 2], struct dv_error *reterr)
{
    int fds[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0) {
        return dv_fail_errno(reterr, errno, "cannot make a socket pair");
    }
    ret_fds[0] = fds[0];
    ret_fds[1] = fds[1];
    return DV_OK;
}

struct dv_channel *dv_channel_create(int fd)
{
    assert(fd >= 0);

    struct dv_channel *channel = dv_alloc(sizeof(*channel));
    channel->fd = fd;
    return channel;
}

struct dv_channel *dv_channel_destroy(struct dv_channel *channel)
{
    if (channel) {
        for (size_t i = 0; i < channel->passed_count; i++) {
            dv_file_closep(&channel->passed_fds[i]);
        }
        dv_file_closep(&channel->fd);
    }
    return dv_free(channel);
}

void dv_channel_destroyp(struct dv_channel **channel)
{
    *channel = dv_channel_destroy(*channel);
}

/* --- Waiting ---------------------------------------------------------------------------- */

static enum dv_status wait_for(const struct dv_channel *channel, short events, uint64_t start_ns,
    int timeout_ms, struct dv_error *reterr)
{
    struct pollfd poll_fd = {.fd = channel->fd, .events = events};
    int count;

    do {
        count = poll(&poll_fd, 1, dv_clock_ms_left(start_ns, timeout_ms));
    } while (count < 0 && errno == EINTR);
    if (count < 0) {
        return dv_fail_errno(reterr, errno, "cannot wait on a channel");
    }
    if (count == 0) {
        return dv_fail(
            reterr, DV_TIMEOUT, "the other process gave no sign within %d ms", timeout_ms);
    }
    return DV_OK;
}

/* --- Sending ---------------------------------------------------------------------------- */

/* Room for the descriptors that ride along, aligned as the kernel wants it. */
union control {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(int) * DV_CHANNEL_FDS_MAX)];
};

static void attach_fd(struct msghdr *message, union control *control, int fd)
{
    memset(control, 0, sizeof(*control));
    message->msg_control = control->bytes;
    message->msg_controllen = CMSG_SPACE(sizeof(int));

    struct cmsghdr *header = CMSG_FIRSTHDR(message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &fd, sizeof(int));
}

/* Bytes sent, or -1 with errno. The descriptor goes with the first bytes. */
static ssize_t send_some(
    const struct dv_channel *channel, struct iovec *parts, size_t part_count, int passed_fd)
{
    union control control;
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = part_count};

    if (dv_fault_hits("channel_send")) {
        errno = EPIPE;
        return -1;
    }
    if (passed_fd >= 0) {
        attach_fd(&message, &control, passed_fd);
    }
    return sendmsg(channel->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void skip_bytes(struct iovec parts[static 2], size_t size)
{
    for (int i = 0; i < 2; i++) {
        size_t here = size < parts[i].iov_len ? size : parts[i].iov_len;
        parts[i].iov_base = (char *)parts[i].iov_base + here;
        parts[i].iov_len -= here;
        size -= here;
    }
}

static enum dv_status send_failure(int error_number, struct dv_error *reterr)
{
    if (error_number == EPIPE || error_number == ECONNRESET) {
        return dv_fail(reterr, DV_NOT_FOUND, "the other process has closed its channel");
    }
    return dv_fail_errno(reterr, error_number, "cannot send a message");
}

enum dv_status dv_channel_send(struct dv_channel *channel, const char *line, size_t size,
    int passed_fd, int timeout_ms, struct dv_error *reterr)
{
    char newline = '\n';
    struct iovec parts[2] = {
        {.iov_base = (char *)line, .iov_len = size},
        {.iov_base = &newline, .iov_len = 1},
    };
    uint64_t start_ns = dv_clock_monotonic_ns();

    assert(channel);
    assert(!memchr(line, '\n', size));
    if (size >= DV_MESSAGE_SIZE_MAX) {
        return dv_fail(reterr, DV_TOO_LARGE, "a message of %zu bytes is over the limit of %u", size,
            DV_MESSAGE_SIZE_MAX - 1);
    }
    if (channel->is_stuck) {
        return dv_fail(reterr, DV_TIMEOUT, "the other process did not read the message before");
    }
    while (parts[1].iov_len > 0) {
        ssize_t sent = send_some(channel, parts, 2, passed_fd);
        if (sent >= 0) {
            skip_bytes(parts, (size_t)sent);
            passed_fd = -1;
            channel->is_stuck = parts[1].iov_len > 0;
        } else if (errno == EAGAIN) {
            enum dv_status status = wait_for(channel, POLLOUT, start_ns, timeout_ms, reterr);
            if (status != DV_OK) {
                return status;
            }
        } else if (errno != EINTR) {
            return send_failure(errno, reterr);
        }
    }
    return DV_OK;
}

/* --- Receiving -------------------------------------------------------------------------- */

/* Keep the descriptors that came along; false if there is no room for all of them. */
static bool keep_fds(struct dv_channel *channel, struct msghdr *message)
{
    bool has_room = !(message->msg_flags & MSG_CTRUNC);

    for (struct cmsghdr *h = CMSG_FIRSTHDR(message); h; h = CMSG_NXTHDR(message, h)) {
        if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS) {
            continue;
        }
        size_t count = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(h) + i * sizeof(int), sizeof(int));
            if (channel->passed_count < DV_CHANNEL_FDS_MAX) {
                channel->passed_fds[channel->passed_count++] = fd;
            } else {
                (void)close(fd);
                has_room = false;
            }
        }
    }
    return has_room;
}

static enum dv_status receive_some(struct dv_channel *channel, struct dv_error *reterr)
{
    union control control;
    struct iovec part = {
        .iov_base = channel->data + channel->end, .iov_len = sizeof(channel->data) - channel->end};
    struct msghdr message = {.msg_iov = &part,
        .msg_iovlen = 1,
        .msg_control = control.bytes,
        .msg_controllen = sizeof(control.bytes)};

    ssize_t got = recvmsg(channel->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return DV_OK;
    }
    if (got < 0 && errno != ECONNRESET) {
        return dv_fail_errno(reterr, errno, "cannot receive a message");
    }
    if (got <= 0) {
        channel->is_closed = true;
        return DV_OK;
    }
    channel->end += (size_t)got;
    if (!keep_fds(channel, &message)) {
        return dv_fail(reterr, DV_CORRUPT, "more than %d descriptors came with the messages",
            DV_CHANNEL_FDS_MAX);
    }
    return DV_OK;
}

static char *find_newline(const struct dv_channel *channel)
{
    return memchr(channel->data + channel->start, '\n', channel->end - channel->start);
}

static enum dv_status check_end(const struct dv_channel *channel, struct dv_error *reterr)
{
    if (channel->end == sizeof(channel->data)) {
        return dv_fail(
            reterr, DV_TOO_LARGE, "a message is longer than %u bytes", DV_MESSAGE_SIZE_MAX - 1);
    }
    if (channel->is_closed && channel->end > 0) {
        return dv_fail(reterr, DV_CORRUPT, "the other process ended within a message");
    }
    if (channel->is_closed) {
        return dv_fail(reterr, DV_NOT_FOUND, "the other process has closed its channel");
    }
    return DV_OK;
}

enum dv_status dv_channel_receive(struct dv_channel *channel, int timeout_ms, const char **ret_line,
    size_t *ret_size, struct dv_error *reterr)
{
    uint64_t start_ns = dv_clock_monotonic_ns();
    char *newline;

    assert(channel);
    assert(ret_line);
    assert(ret_size);
    while (!(newline = find_newline(channel))) {
        memmove(channel->data, channel->data + channel->start, channel->end - channel->start);
        channel->end -= channel->start;
        channel->start = 0;
        enum dv_status status = check_end(channel, reterr);
        if (status == DV_OK) {
            status = wait_for(channel, POLLIN, start_ns, timeout_ms, reterr);
        }
        if (status == DV_OK) {
            status = receive_some(channel, reterr);
        }
        if (status != DV_OK) {
            return status;
        }
    }

    *newline = '\0';
    *ret_line = channel->data + channel->start;
    *ret_size = (size_t)(newline - *ret_line);
    channel->start += *ret_size + 1;
    return DV_OK;
}

int dv_channel_take_fd(struct dv_channel *channel)
{
    assert(channel);

    if (channel->passed_count == 0) {
        return -1;
    }
    int fd = channel->passed_fds[0];
    channel->passed_count--;
    memmove(channel->passed_fds, channel->passed_fds + 1, channel->passed_count * sizeof(int));
    return fd;
}

bool dv_channel_has_line(const struct dv_channel *channel)
{
    assert(channel);
    return find_newline(channel) != NULL;
}

int dv_channel_fd(const struct dv_channel *channel)
{
    assert(channel);
    return channel->fd;
}
