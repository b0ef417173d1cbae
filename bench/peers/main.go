// Command peers is an ext_authz server as one writes it in Go, for the bench alone.
//
// Usage: peers MODE PUBLIC_KEY ISSUER AUDIENCE. MODE is "cache" (grpc-go and golang-jwt, with
// the tokens that were verified remembered), "verify" (each token is verified) or "opa" (a
// policy in Rego, by Open Policy Agent's library, which verifies each token). It listens on a
// free port of loopback, prints it, and serves until it is killed.
package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"os"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
)

// identity is what a good token says.
type identity struct {
	tenant, subject, token, roles string
}

// decider tells whose token this is, or why it is not good.
type decider func(ctx context.Context, token string) (*identity, error)

type server struct {
	authv3.UnimplementedAuthorizationServer
	decide decider
}

func (s server) Check(ctx context.Context, request *authv3.CheckRequest) (*authv3.CheckResponse, error) {
	value := request.GetAttributes().GetRequest().GetHttp().GetHeaders()["authorization"]
	token, found := strings.CutPrefix(value, "Bearer ")
	if !found {
		return refused(), nil
	}
	who, err := s.decide(ctx, token)
	if err != nil {
		return refused(), nil
	}
	return allowed(who), nil
}

func allowed(who *identity) *authv3.CheckResponse {
	pairs := [][2]string{
		{"x-tenant-id", who.tenant}, {"x-user-id", who.subject},
		{"x-token-id", who.token}, {"x-roles", who.roles},
	}
	headers := make([]*corev3.HeaderValueOption, 0, len(pairs))
	for _, pair := range pairs {
		headers = append(headers, &corev3.HeaderValueOption{
			Header:       &corev3.HeaderValue{Key: pair[0], Value: pair[1]},
			AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
		})
	}
	return &authv3.CheckResponse{
		Status: &status.Status{Code: int32(code.Code_OK)},
		HttpResponse: &authv3.CheckResponse_OkResponse{OkResponse: &authv3.OkHttpResponse{
			Headers: headers, HeadersToRemove: []string{"x-csp-nonce"},
		}},
	}
}

func refused() *authv3.CheckResponse {
	return &authv3.CheckResponse{
		Status: &status.Status{Code: int32(code.Code_PERMISSION_DENIED)},
		HttpResponse: &authv3.CheckResponse_DeniedResponse{DeniedResponse: &authv3.DeniedHttpResponse{
			Status: &typev3.HttpStatus{Code: typev3.StatusCode_Unauthorized},
		}},
	}
}

func deciderOf(mode, key, issuer, audience string) (decider, error) {
	switch mode {
	case "cache", "verify":
		return newVerifier(key, issuer, audience, mode == "cache")
	case "opa":
		return newPolicy(key, issuer, audience)
	}
	return nil, fmt.Errorf("unknown mode %q", mode)
}

func main() {
	if len(os.Args) != 5 {
		log.Fatal("usage: peers MODE PUBLIC_KEY ISSUER AUDIENCE")
	}
	decide, err := deciderOf(os.Args[1], os.Args[2], os.Args[3], os.Args[4])
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	endpoint := grpc.NewServer()
	authv3.RegisterAuthorizationServer(endpoint, server{decide: decide})
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	log.Fatal(endpoint.Serve(listener))
}
