// Outside checks what psion_ledger made, with golang.org/x/mod's implementation of notes and of transparency logs.
//
// It reads one JSON document of cases from standard input, and writes for each list a list of whether each case holds.
package main

import (
	"encoding/hex"
	"encoding/json"
	"log"
	"os"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type noteCase struct {
	VerifierKey string `json:"verifier_key"`
	Note        string `json:"note"`
	Text        string `json:"text"` // What the note must say.
}

type inclusionCase struct {
	Path     []string `json:"path"`
	Size     int64    `json:"size"`
	Root     string   `json:"root"`
	Index    int64    `json:"index"`
	LeafHash string   `json:"leaf_hash"`
}

type consistencyCase struct {
	Path    []string `json:"path"`
	OldSize int64    `json:"old_size"`
	OldRoot string   `json:"old_root"`
	NewSize int64    `json:"new_size"`
	NewRoot string   `json:"new_root"`
}

type cases struct {
	Notes       []noteCase        `json:"notes"`
	Inclusion   []inclusionCase   `json:"inclusion"`
	Consistency []consistencyCase `json:"consistency"`
}

type verdicts struct {
	Notes       []bool `json:"notes"`
	Inclusion   []bool `json:"inclusion"`
	Consistency []bool `json:"consistency"`
}

func (c noteCase) holds() bool {
	verifier, err := note.NewVerifier(c.VerifierKey)
	if err != nil {
		log.Fatalf("verifier key %q: %v", c.VerifierKey, err)
	}
	opened, err := note.Open([]byte(c.Note), note.VerifierList(verifier))
	return err == nil && opened.Text == c.Text && len(opened.Sigs) == 1
}

func (c inclusionCase) holds() bool {
	return tlog.CheckRecord(hashes(c.Path), c.Size, hash(c.Root), c.Index, hash(c.LeafHash)) == nil
}

func (c consistencyCase) holds() bool {
	return tlog.CheckTree(hashes(c.Path), c.NewSize, hash(c.NewRoot), c.OldSize, hash(c.OldRoot)) == nil
}

func hash(text string) (value tlog.Hash) {
	data, err := hex.DecodeString(text)
	if err != nil || len(data) != tlog.HashSize {
		log.Fatalf("no hash: %q", text)
	}
	copy(value[:], data)
	return value
}

func hashes(texts []string) []tlog.Hash {
	values := make([]tlog.Hash, len(texts))
	for i, text := range texts {
		values[i] = hash(text)
	}
	return values
}

func main() {
	var given cases
	if err := json.NewDecoder(os.Stdin).Decode(&given); err != nil {
		log.Fatal(err)
	}
	var found verdicts
	for _, c := range given.Notes {
		found.Notes = append(found.Notes, c.holds())
	}
	for _, c := range given.Inclusion {
		found.Inclusion = append(found.Inclusion, c.holds())
	}
	for _, c := range given.Consistency {
		found.Consistency = append(found.Consistency, c.holds())
	}
	if err := json.NewEncoder(os.Stdout).Encode(found); err != nil {
		log.Fatal(err)
	}
}
