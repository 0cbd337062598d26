// An ordinary program of Go: threads, a network connection and a child.
package main

import (
	"fmt"
	"net"
	"os/exec"
	"sync"
)

func main() {
	var group sync.WaitGroup
	for i := 0; i < 50; i++ {
		group.Add(1)
		go func() { defer group.Done() }()
	}
	group.Wait()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go func() { c, _ := listener.Accept(); c.Write([]byte("hello")); c.Close() }()
	c, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		panic(err)
	}
	buffer := make([]byte, 5)
	c.Read(buffer)
	out, err := exec.Command("/bin/sh", "-c", "echo child").Output()
	if err != nil {
		panic(err)
	}
	fmt.Printf("%s %s", buffer, out)
}
