#pragma once

struct sockaddr_un;
struct vw_err;

/** vw_rpc_address() - @socket_path as an address. Return: 0, -ENAMETOOLONG (a socket's path has at most 107 bytes). */
int vw_rpc_address(const char *socket_path, struct sockaddr_un *ret_sun, struct vw_err *err);
