"""The other servers of the comparison, each as its documentation shows; they run in environments of their own."""
