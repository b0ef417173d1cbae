package main

import (
	"context"
	"errors"
	"os"

	"github.com/open-policy-agent/opa/v1/rego"
)

const module = `package peers

allowed := {
	"tenant": claims.tenantId,
	"subject": claims.sub,
	"token": claims.jti,
	"roles": concat(",", claims.roles),
} if {
	[valid, _, claims] := io.jwt.decode_verify(input.token, {
		"cert": input.key, "alg": "ES256", "iss": input.issuer, "aud": input.audience,
	})
	valid
	claims.tenantId != ""
}
`

var errRefused = errors.New("refused by the policy")

func newPolicy(path, issuer, audience string) (decider, error) {
	key, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	query, err := rego.New(
		rego.Query("data.peers.allowed"), rego.Module("peers.rego", module),
	).PrepareForEval(context.Background())
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, token string) (*identity, error) {
		input := map[string]any{
			"token": token, "key": string(key), "issuer": issuer, "audience": audience,
		}
		found, err := query.Eval(ctx, rego.EvalInput(input))
		if err != nil {
			return nil, err
		}
		if len(found) != 1 || len(found[0].Expressions) != 1 {
			return nil, errRefused
		}
		said, ok := found[0].Expressions[0].Value.(map[string]any)
		if !ok {
			return nil, errRefused
		}
		text := func(name string) string { value, _ := said[name].(string); return value }
		return &identity{text("tenant"), text("subject"), text("token"), text("roles")}, nil
	}, nil
}
