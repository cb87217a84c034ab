//go:build !wasip1

package eventfabric

// Export makes a projection the one of this component. Call it in an `init` function of package main; `main` itself
// stays empty. It panics where the projection is not well made, in `go test`, too.
func Export(projection Projection) {
	if _, err := projection.Describe(); err != nil {
		panic("eventfabric: " + err.Error())
	}
}

func exportQueries(queries []Query) error {
	_, err := DescribeQueries(queries)
	return err
}
