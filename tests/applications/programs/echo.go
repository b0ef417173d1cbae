// What Go's net/http tells a handler. Usage: echo ADDRESS
package main

import (
	"encoding/json"
	"net/http"
	"os"
	"strings"
)

func tell(handler string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		seen, cookies := map[string]string{}, map[string]string{}
		for name, values := range r.Header {
			seen[name] = strings.Join(values, ",")
		}
		for _, cookie := range r.Cookies() {
			if _, known := cookies[cookie.Name]; !known {
				cookies[cookie.Name] = cookie.Value
			}
		}
		w.Header().Set("content-type", "application/json")
		json.NewEncoder(w).Encode(map[string]interface{}{
			"handler": handler, "method": r.Method, "path": r.URL.Path, "host": r.Host,
			"client": r.RemoteAddr, "seen": seen, "cookies": cookies,
		})
	}
}

func main() {
	http.HandleFunc("/assets2/@admin/", tell("admin"))
	http.HandleFunc("/", tell("other"))
	if err := http.ListenAndServe(os.Args[1], nil); err != nil {
		panic(err)
	}
}
