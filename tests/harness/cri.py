# SPDX-License-Identifier: Apache-2.0
"""The Container Runtime Interface from kubelet's side, over gRPC on a runtime's socket."""
import pathlib
import subprocess
import sys

PROTO = pathlib.Path(__file__).resolve().parent.parent / "e2e" / "cri.proto"


class CriError(Exception):
    """What kubelet would log: the runtime's own words."""


class Cri:
    """cri.RunPodSandbox(config=...) -> the answer; fields as dicts and lists."""

    def __init__(self, socket, scratch):
        import grpc         # here, so that a machine without it skips these tests alone
        from google.protobuf import json_format
        subprocess.run(["protoc", f"--proto_path={PROTO.parent}", f"--python_out={scratch}", PROTO.name], check=True)
        sys.path.insert(0, str(scratch))
        import cri_pb2
        self.grpc, self.json_format, self.types = grpc, json_format, cri_pb2
        self.channel = grpc.insecure_channel(f"unix:{socket}")

    def __getattr__(self, method):
        request, response = getattr(self.types, f"{method}Request"), getattr(self.types, f"{method}Response")
        call = self.channel.unary_unary(f"/runtime.v1.RuntimeService/{method}", request_serializer=request.SerializeToString,
                                        response_deserializer=response.FromString)

        def run(timeout=60, **fields):
            try:
                return call(self.json_format.ParseDict(fields, request(), ignore_unknown_fields=False), timeout=timeout)
            except self.grpc.RpcError as exc:
                raise CriError(f"{method}: {exc.details()}") from None

        return run

    def close(self):
        self.channel.close()
