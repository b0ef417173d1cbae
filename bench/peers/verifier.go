package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// mostRemembered bounds the cache: as many tokens as the sidecar remembers by default.
const mostRemembered = 100_000

type claims struct {
	jwt.RegisteredClaims
	Tenant string   `json:"tenantId"`
	Roles  []string `json:"roles"`
}

type remembered struct {
	who     *identity
	expires time.Time
}

// cache remembers verified tokens by their digest until they expire.
type cache struct {
	lock   sync.RWMutex
	tokens map[[sha256.Size]byte]remembered
}

func (c *cache) find(digest [sha256.Size]byte, now time.Time) *identity {
	c.lock.RLock()
	defer c.lock.RUnlock()
	if found, ok := c.tokens[digest]; ok && now.Before(found.expires) {
		return found.who
	}
	return nil
}

func (c *cache) put(digest [sha256.Size]byte, what remembered) {
	c.lock.Lock()
	defer c.lock.Unlock()
	if len(c.tokens) >= mostRemembered {
		for any := range c.tokens {
			delete(c.tokens, any)
			break
		}
	}
	c.tokens[digest] = what
}

func newVerifier(path, issuer, audience string, remember bool) (decider, error) {
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	key, err := jwt.ParseECPublicKeyFromPEM(pem)
	if err != nil {
		return nil, err
	}
	parser := jwt.NewParser(
		jwt.WithValidMethods([]string{"ES256"}), jwt.WithIssuer(issuer),
		jwt.WithAudience(audience), jwt.WithExpirationRequired(),
	)
	verify := func(token string) (remembered, error) {
		var found claims
		if _, err := parser.ParseWithClaims(token, &found, func(*jwt.Token) (any, error) { return key, nil }); err != nil {
			return remembered{}, err
		}
		if found.Tenant == "" || found.Subject == "" || found.ID == "" {
			return remembered{}, fmt.Errorf("a claim is missing")
		}
		who := &identity{found.Tenant, found.Subject, found.ID, strings.Join(found.Roles, ",")}
		return remembered{who, found.ExpiresAt.Time}, nil
	}
	if !remember {
		return func(_ context.Context, token string) (*identity, error) {
			found, err := verify(token)
			return found.who, err
		}, nil
	}
	known := &cache{tokens: map[[sha256.Size]byte]remembered{}}
	return func(_ context.Context, token string) (*identity, error) {
		digest := sha256.Sum256([]byte(token))
		if who := known.find(digest, time.Now()); who != nil {
			return who, nil
		}
		found, err := verify(token)
		if err == nil {
			known.put(digest, found)
		}
		return found.who, err
	}, nil
}
