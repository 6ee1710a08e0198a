"""What is wrong with a deployment, looked at from inside: asked here, judged by values alone, told by the doctor."""
