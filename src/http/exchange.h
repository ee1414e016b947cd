/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_HTTP_EXCHANGE_H
#define DV_HTTP_EXCHANGE_H

/*
 * From the first line of a request to the last byte of its answer: what libmicrohttpd calls.
 * `user` is the server everywhere.
 */

#include <microhttpd.h>
#include <stddef.h>

enum MHD_Result dv_http_exchange_accept(
    void *user, const struct sockaddr *address, socklen_t address_size);
void dv_http_exchange_connection(void *user, struct MHD_Connection *mhd, void **context,
    enum MHD_ConnectionNotificationCode code);
void *dv_http_exchange_line(void *user, const char *target, struct MHD_Connection *mhd);
enum MHD_Result dv_http_exchange_handle(void *user, struct MHD_Connection *mhd, const char *path,
    const char *method, const char *version, const char *data, size_t *size, void **context);
void dv_http_exchange_done(
    void *user, struct MHD_Connection *mhd, void **context, enum MHD_RequestTerminationCode code);

/* Escapes stay as they were sent. */
size_t dv_http_exchange_unescape(void *user, struct MHD_Connection *mhd, char *text);

#endif
